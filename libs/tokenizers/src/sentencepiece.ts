import { type AmalgamError, quote } from '@amalgam/contracts';
import { readFields, writeBytes, writeFloat, writeVarint } from './protobuf.js';
import { plainToken, TokenTable } from './token-table.js';
import type { TokenizerFiles } from './tokenizer-files.js';
import type { Vocabulary } from './tokenizer-json.js';
import type { TokenizerKind } from './types.js';

/** Fields and enumerations of sentencepiece_model.proto. */
const MODEL = { piece: 1, trainer: 2 } as const;
const PIECE = { text: 1, score: 2, type: 3 } as const;
const TRAINER = { modelType: 3 } as const;
const KINDS: readonly (TokenizerKind | undefined)[] = [undefined, 'unigram', 'bpe', 'word_level', 'word_level'];

/** What a piece is for; `unused` ones have an id and are never made from text. */
export const PIECE_TYPE = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

export interface Piece {
  text: string;
  score: number;
  type: number;
}

/**
 * The pieces of a sentencepiece model; a piece's id is its place.
 *
 * @throws AmalgamError by `refuse` when the bytes are no such model
 */
export function readPieces(
  bytes: Uint8Array,
  refuse: (rule: string) => AmalgamError,
): { kind: TokenizerKind; pieces: Piece[] } {
  const no = (rule: string) => refuse(`is not a sentencepiece model: ${rule}`);
  const pieces: Piece[] = [];
  let kind: TokenizerKind = 'unigram';
  for (const { number, bytes: content } of readFields(bytes, no)) {
    if (content === null) continue;
    if (number === MODEL.piece) pieces.push(readPiece(content, pieces.length, no));
    if (number === MODEL.trainer) {
      for (const field of readFields(content, no)) {
        if (field.number === TRAINER.modelType) kind = KINDS[field.value] ?? kind;
      }
    }
  }
  if (pieces.length === 0) throw no('it has no pieces');
  return { kind, pieces };
}

function readPiece(message: Uint8Array, id: number, no: (rule: string) => AmalgamError): Piece {
  let text = '';
  let score = 0;
  let type: number = PIECE_TYPE.normal;
  for (const { number, value, bytes } of readFields(message, no)) {
    if (number === PIECE.type) type = value;
    if (number === PIECE.score) score = value;
    if (number !== PIECE.text || bytes === null) continue;
    try {
      text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw no(`piece ${id} is not UTF-8`);
    }
  }
  return { text, score, type };
}

/** A message that is written behind others extends its lists: these bytes behind a model's are the model with more pieces. */
export function piecesToAppend(pieces: readonly Piece[]): Uint8Array {
  const encoder = new TextEncoder();
  return Uint8Array.from(
    pieces.flatMap(({ text, score, type }) =>
      writeBytes(MODEL.piece, [
        ...writeBytes(PIECE.text, encoder.encode(text)),
        ...writeFloat(PIECE.score, score),
        ...writeVarint(PIECE.type, type),
      ]),
    ),
  );
}

/** Tokenizers whose ids are not the places of their pieces. Their checkpoints have a tokenizer.json as a rule. */
const SHIFTED =
  /^(XLMRoberta|XLMProphetNet|XGLM|Camembert|Barthez|MBart|Nllb|M2M100|Pegasus|BigBirdPegasus|SeamlessM4T)/;

/**
 * The vocabulary of a sentencepiece file, for a checkpoint without a tokenizer.json.
 *
 * @throws AmalgamError `invalid_checkpoint`, also for families that number pieces their own way
 */
export async function readSentencepiece(
  files: TokenizerFiles,
  path: string,
  config: Record<string, unknown> | null,
): Promise<Vocabulary> {
  const refuse = (rule: string) => files.refuse(path, rule);
  const family = config?.['tokenizer_class'];
  if (typeof family === 'string' && SHIFTED.test(family)) {
    throw refuse(`${quote(family)} numbers pieces its own way: a tokenizer.json is needed beside it`);
  }
  const { kind, pieces } = readPieces(await files.read(path), refuse);
  const table = new TokenTable(refuse);
  let unk: string | null = null;
  for (const [id, { text, type }] of pieces.entries()) {
    table.set(text, id);
    if (type === PIECE_TYPE.unknown) unk = text;
    if (type === PIECE_TYPE.control || type === PIECE_TYPE.unknown) table.add(plainToken(text, true), id);
    if (type === PIECE_TYPE.userDefined) table.add(plainToken(text, false), id);
  }
  const extra = config?.['extra_ids'];
  // T5 numbers its sentinels from the end.
  if (typeof extra === 'number' && Number.isInteger(extra) && extra > 0 && extra <= 10_000) {
    for (let i = 0; i < extra; i++) {
      table.addIfFree(plainToken(`<extra_id_${i}>`, true), pieces.length + extra - 1 - i);
    }
  }
  return { kind, table, unk };
}
