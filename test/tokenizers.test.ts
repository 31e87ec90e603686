import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createClient } from '@amalgam/client';
import type { Merge } from '@amalgam/contracts';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { FAMILIES, writeModel } from '../libs/architecture/test/models/index.js';
import { bpe } from '../libs/tokenizers/test/support.js';
import { startTestService, type TestService } from './support/service.js';
import { readTinyModel } from './support/tiny-models.js';

/** Models of different vocabularies, through the command line and the API. */

// Importing transformers takes seconds.
vi.setConfig({ testTimeout: 120_000 });

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const CLI = join(ROOT, 'apps/cli/dist/main.js');
const PYTHON = process.env['AMALGAM_PYTHON'] ?? 'python3';
const imports = spawnSync(PYTHON, ['-c', 'import transformers, torch, safetensors']);
const missing = imports.status === 0 ? null : `${PYTHON} cannot import transformers, torch and safetensors`;
if (missing !== null) console.warn(`SKIPPED: vocabularies in transformers — ${missing}; AMALGAM_PYTHON names another`);

const dir = mkdtempSync(join(tmpdir(), 'amalgam-vocabularies-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const LETTERS = [...'abcdefghijklmnopqrstuvwxyz'];
const EMBEDDING = 'model.embed_tokens.weight';
/** The mark of a turn is added in `chat`, whose letters are numbered backwards. */
const TURN = '<|im_start|>';
const vocabularies = {
  base: bpe(LETTERS, ['t h', 'th e']),
  chat: bpe([...LETTERS].reverse(), ['t h', 'i n'], [{ id: 28, content: TURN }]),
};
const MODELS = ['base', 'chat'] as const;
const UNION = `
merge_method: linear
models:
  - model: ./base
    parameters: { weight: 0.0 }
  - model: ./chat
    parameters: { weight: 1.0 }
tokenizer:
  source: union
chat_template: chatml
dtype: float32
`;

function amalgam(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [CLI, ...args], (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, stdout, stderr });
    });
  });
}

const out = join(dir, 'union');
const json = (path: string) => JSON.parse(readFileSync(join(out, path), 'utf8'));

beforeAll(async () => {
  for (const [seed, name] of MODELS.entries()) {
    const vocabulary = Object.keys(vocabularies[name].model.vocab).length + vocabularies[name].added_tokens.length;
    await writeModel(join(dir, name), FAMILIES.llama({ vocabulary }), { seed });
    writeFileSync(join(dir, name, 'tokenizer.json'), JSON.stringify(vocabularies[name]));
    writeFileSync(join(dir, name, 'tokenizer_config.json'), '{"tokenizer_class": "PreTrainedTokenizerFast"}');
  }
  writeFileSync(join(dir, 'union.yaml'), UNION);
  const ran = await amalgam('merge', join(dir, 'union.yaml'), '--out', out, '--json');
  expect([ran.code, ran.stderr]).toEqual([0, '']);
});

describe('the command line', () => {
  test('gives the result the base’s tokens and the other’s behind them', async () => {
    const tokens = [...LETTERS, 'th', 'the', 'in', TURN];
    expect(json('config.json').vocab_size).toBe(tokens.length);
    expect(json('tokenizer.json').added_tokens).toMatchObject([{ id: 29, content: TURN, special: true }]);
    expect(json('tokenizer.json').model.vocab).toEqual(Object.fromEntries(tokens.map((token, id) => [token, id])));
    expect(json('tokenizer_config.json').chat_template).toContain(TURN);

    const [base, chat, merged] = await Promise.all(
      ['base', 'chat', 'union'].map((name) => readTinyModel(join(dir, name))),
    );
    const row = (model: typeof base, index: number) => {
      const { shape, values } = model!.get(EMBEDDING)!;
      return [...values.slice(index * shape[1]!, (index + 1) * shape[1]!)];
    };
    // Of chat, whose a is its 26th letter; what it has no row for is the base's.
    expect(row(merged, 0)).toEqual(row(chat, 25));
    expect(row(merged, tokens.indexOf('in'))).toEqual(row(chat, 27));
    expect(row(merged, tokens.indexOf(TURN))).toEqual(row(chat, 28));
    expect(row(merged, tokens.indexOf('the'))).toEqual(row(base, 27));
  });

  test('refuses, before any weight is read, what the recipe says of tokens that are not there', async () => {
    const tokens = `tokens: { "${TURN}": { source: { kind: model_token, model: ./base, token: "${TURN}" } } }`;
    writeFileSync(join(dir, 'wrong.yaml'), UNION.replace('source: union', `source: base\n  ${tokens}`));
    const ran = await amalgam('plan', join(dir, 'wrong.yaml'));
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain(`"./base" has no embedding of "${TURN}"`);
    writeFileSync(join(dir, 'template.yaml'), UNION.replace('chatml', 'chatlm'));
    const template = await amalgam('plan', join(dir, 'template.yaml'));
    expect(template.code).toBe(2);
    expect(template.stderr).toContain('"chatlm" is neither auto, nor a built-in template');
  });

  test('says without a tokenizer in the recipe what is wrong and what helps', async () => {
    writeFileSync(join(dir, 'none.yaml'), UNION.replace('tokenizer:\n  source: union\n', ''));
    const ran = await amalgam('plan', join(dir, 'none.yaml'));
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain('[28, 16]');
    expect(ran.stderr).toContain('the vocabularies differ');
  });
});

describe('the API', () => {
  let service: TestService;
  const ids = new Map<string, string>();
  const post = (path: string, body: string) =>
    fetch(`${service.url}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${service.apiKey}`, 'content-type': 'application/yaml' },
      body: body.replaceAll(/\.\/(base|chat)/g, (_, name: string) => ids.get(name)!),
    });
  beforeAll(async () => {
    service = await startTestService();
    const client = createClient({ baseUrl: service.url, apiKey: service.apiKey });
    for (const name of MODELS) {
      const files = readdirSync(join(dir, name)).map((path) => ({ path, file: join(dir, name, path) }));
      ids.set(name, (await client.checkpoints.upload({ name, files })).id);
    }
  });
  afterAll(() => service.stop());

  test('plans with the tokenizers as they are stored', async () => {
    const planned = await post('/v1/merges/plan', UNION);
    expect(planned.status).toBe(200);
    const wrong = await post(
      '/v1/merges/plan',
      UNION.replace('source: union', 'source: union\n  tokens: { "<x>": { source: ./base } }'),
    );
    expect(wrong.status).toBe(422);
    expect(await wrong.json()).toMatchObject({
      code: 'invalid_recipe',
      errors: [{ pointer: expect.stringContaining('/tokenizer/tokens/<x>/source') }],
    });
  });

  test('gives the same files', async () => {
    const client = createClient({ baseUrl: service.url, apiKey: service.apiKey });
    const response = await post('/v1/merges', UNION);
    const queued = (await response.json()) as Merge;
    expect(response.status, JSON.stringify(queued)).toBe(202);
    const done = await client.merges.waitFor(queued.id, { timeoutMs: 50_000 });
    expect([done.state, done.error]).toEqual(['succeeded', null]);
    for (const path of ['model.safetensors', 'config.json', 'tokenizer.json', 'tokenizer_config.json']) {
      const bytes = await client.merges.download(queued.id, path);
      expect(Buffer.compare(bytes, readFileSync(join(out, path))), path).toBe(0);
    }
  });
});

describe.skipIf(missing !== null)('transformers (SKIPPED without a Python that has it)', () => {
  test('loads the result, with a row for every token that its tokenizer has', () => {
    const script = `
import json, sys
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model, report = AutoModelForCausalLM.from_pretrained(sys.argv[1], output_loading_info=True)
chat = [{"role": "user", "content": "the"}]
ids = tokenizer.apply_chat_template(chat, tokenize=True, return_dict=True)["input_ids"]
print(json.dumps({
    "problems": {key: sorted(map(str, value)) for key, value in report.items() if value},
    "rows": model.get_input_embeddings().weight.shape[0], "tokens": len(tokenizer),
    "word": tokenizer.encode("the"), "turn": ids[0]}))
`;
    const env = { ...process.env, PYTHONDONTWRITEBYTECODE: '1', HF_HUB_OFFLINE: '1' };
    const ran = spawnSync(PYTHON, ['-c', script, out], { env });
    expect(ran.status, ran.stderr.toString()).toBe(0);
    expect(JSON.parse(ran.stdout.toString())).toEqual({ problems: {}, rows: 30, tokens: 30, word: [27], turn: 29 });
  });
});
