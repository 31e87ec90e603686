import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TokenizerRecipe } from '@amalgam/contracts';
import { localFolder } from '@amalgam/tensors';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { BUILTIN_TEMPLATES, planVocabulary, readTokenizer, rebuildTokenizer, TokenizerFiles } from '../src/index.js';

// Importing transformers takes seconds.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const SCRIPT = fileURLToPath(new URL('check_tokenizers.py', import.meta.url));
const PYTHON = process.env['AMALGAM_PYTHON'] ?? 'python3';
const imports = spawnSync(PYTHON, ['-c', 'import transformers, tokenizers, sentencepiece, jinja2']);
const missing =
  imports.status === 0 ? null : `${PYTHON} cannot import transformers, tokenizers, sentencepiece and jinja2`;
if (missing !== null) console.warn(`SKIPPED: tokenizers in Python — ${missing}; AMALGAM_PYTHON names another`);

const PLAIN = [
  'the quick brown fox jumps over the lazy dog',
  'lower newest wide, foxes sleep.',
  // Words of the other text, of which the result has tokens, in letters that the base has too.
  'niedriger weiter',
  '',
];

function python(...args: string[]): (input?: unknown) => string {
  return (input) => {
    const options = { env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1', HF_HUB_OFFLINE: '1' } };
    const ran = spawnSync(PYTHON, [SCRIPT, ...args], { ...options, input: JSON.stringify(input ?? null) });
    expect(ran.status, ran.stderr.toString()).toBe(0);
    return ran.stdout.toString();
  };
}

describe.skipIf(missing !== null)('tokenizers of results in Python (SKIPPED without one that has transformers)', () => {
  const dir = mkdtempSync(join(tmpdir(), 'amalgam-tokenizers-'));
  beforeAll(() => {
    python('make', dir)();
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  /** Merges the tokenizers of two folders into a third; returns the tokens by id. */
  async function merge(kind: string, setting: TokenizerRecipe, chatTemplate: string | null = null) {
    const folders = ['base', 'other'].map((name) => localFolder(join(dir, kind, name)));
    const inputs = await Promise.all(
      folders.map(async (folder) => {
        const tokenizer = await readTokenizer(new TokenizerFiles(folder, await folder.list()));
        return { reference: folder.label, tokenizer, rows: tokenizer?.size ?? null };
      }),
    );
    const find = (reference: string) => ['base', 'other'].indexOf(reference);
    const { donor, tokens, extra } = planVocabulary(setting, inputs, { hasBase: true, find });
    const folder = folders[donor]!;
    const files = await rebuildTokenizer(folder, await folder.list(), { extra, chatTemplate, digests: {} });
    const out = join(dir, kind, `${setting.source}-${chatTemplate === null ? '' : 'chat'}`);
    mkdirSync(out);
    for (const [path, bytes] of files) writeFileSync(join(out, path), bytes);
    return { out, tokens };
  }

  it.each(['bpe', 'unigram', 'sentencepiece_bpe', 'sentencepiece_unigram'])(
    'a union of %s loads with the planned ids and cuts plain text as the base did',
    async (kind) => {
      const { out, tokens } = await merge(kind, { source: 'union' });
      const special = kind.startsWith('sentencepiece') ? [] : ['<|im_start|>'];
      expect(tokens.length).toBeGreaterThan(20);
      python('check', join(dir, kind, 'base'), out)({ tokens, plain: PLAIN, special });
    },
  );

  it('a union of WordPiece loads, and cuts text without words of the other as the base did', async () => {
    const { out, tokens } = await merge('wordpiece', { source: 'union' });
    const plain = ['the quick fox', 'low lower lowest'];
    python('check', join(dir, 'wordpiece', 'base'), out)({ tokens, plain, special: ['<|im_start|>'] });
  });

  it('the base’s vocabulary with a token that the recipe names loads', async () => {
    const token = { '<tool>': { source: { kind: 'zero' as const } } };
    const { out, tokens } = await merge('bpe', { source: 'base', tokens: token });
    expect(tokens.at(-1)).toBe('<tool>');
    python('check', join(dir, 'bpe', 'base'), out)({ tokens, plain: PLAIN, special: ['<tool>'] });
  });

  const chat = [
    { role: 'system', content: 'S' },
    { role: 'user', content: 'U' },
    { role: 'assistant', content: 'A' },
    { role: 'user', content: 'V' },
  ];
  const rendered: Record<string, string> = {
    alpaca: 'S\n\n### Instruction:\nU\n\n### Response:\nA</s>\n\n### Instruction:\nV\n\n### Response:\n',
    chatml:
      '<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n' +
      '<|im_start|>user\nV<|im_end|>\n<|im_start|>assistant\n',
    llama3:
      '<s><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nU<|eot_id|>' +
      '<|start_header_id|>assistant<|end_header_id|>\n\nA<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nV<|eot_id|>' +
      '<|start_header_id|>assistant<|end_header_id|>\n\n',
    mistral: '<s>[INST] S\n\nU [/INST] A</s>[INST] V [/INST]',
    exaone: '[|system|]S[|endofturn|]\n[|user|]U\n[|assistant|]A[|endofturn|]\n[|user|]V\n[|assistant|]',
  };
  it('the built-in templates write chats as their formats say', async () => {
    const base = localFolder(join(dir, 'bpe', 'base'));
    const folders = await Promise.all(
      Object.entries(BUILTIN_TEMPLATES).map(async ([name, chatTemplate]) => {
        const folder = join(dir, 'bpe', `template-${name}`);
        mkdirSync(folder);
        const options = { extra: [], chatTemplate };
        const files = await rebuildTokenizer(base, await base.list(), { ...options, digests: {} });
        for (const [path, bytes] of files) writeFileSync(join(folder, path), bytes);
        return folder;
      }),
    );
    const written: unknown = JSON.parse(python('render', ...folders)([chat, true]));
    expect(written).toEqual(Object.keys(BUILTIN_TEMPLATES).map((name) => rendered[name]));
  });
});
