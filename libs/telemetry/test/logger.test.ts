import { describe, expect, it } from 'vitest';
import { createLogger, type LoggerOptions, redactLine } from '../src/index.js';

function capture(options: Partial<LoggerOptions> = {}) {
  const lines: string[] = [];
  const log = createLogger({
    name: 'test',
    level: 'debug',
    ...options,
    destination: { write: (line: string) => void lines.push(line) },
  });
  return { log, lines, last: () => JSON.parse(lines.at(-1)!) as Record<string, unknown> };
}

const HUSH = 'hush-hush-0123456789';

describe('logger', () => {
  it('writes JSON lines with time, level, name and fields', () => {
    const { log, lines, last } = capture();
    log.info({ merge: 'mrg_1', bytes: 5 }, 'merge started');
    log.trace('not at this level');
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/\n$/);
    expect(last()).toMatchObject({ level: 'info', name: 'test', merge: 'mrg_1', bytes: 5, msg: 'merge started' });
    expect(last()['time']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });

  it.each<[string, object]>([
    ['authorization', { authorization: `Bearer ${HUSH}` }],
    ['a header', { req: { headers: { Authorization: HUSH, cookie: HUSH, 'x-api-key': HUSH } } }],
    ['a deep field', { a: { b: [{ c: { d: { password: HUSH } } }] } }],
    ['prefixes', { webhook_secret: HUSH, accessToken: HUSH, secretAccessKey: HUSH, dbPassword: HUSH }],
    ['lists and objects', { secrets: [HUSH, HUSH], credentials: { user: 'u', key: HUSH } }],
    ['numbers', { token: 123456789012, pin: HUSH.length }],
    ['quotes inside', { secret: `a"b\\"${HUSH}` }],
    ['a URL', { url: `postgres://user:${HUSH}@host/db`, next: `/v1/events?token=${HUSH}&after=1` }],
    ['a text', { note: `signed with whsec_${Buffer.from(HUSH).toString('base64')} and Bearer ${HUSH}` }],
  ])('takes secrets out: %s', (_, fields) => {
    const { log, lines, last } = capture();
    log.info(fields, 'message');
    expect(lines[0]).not.toContain(HUSH);
    expect(lines[0]).not.toContain(Buffer.from(HUSH).toString('base64'));
    expect(lines[0]).not.toContain('123456789012');
    expect(lines[0]).toContain('[redacted]');
    expect(last()['msg']).toBe('message');
  });

  it('takes secrets out of messages, errors and what children carry', () => {
    const { log, lines } = capture();
    log.child({ token: HUSH }).warn('child');
    log.child({ a: { secret: HUSH } }, { serializers: { x: (value: unknown) => value } }).warn({ x: { token: HUSH } });
    log.error({ err: Object.assign(new Error(`redis://:${HUSH}@h failed`), { config: { password: HUSH } }) }, 'oops');
    log.info('sent Bearer %s', HUSH);
    expect(lines).toHaveLength(4);
    for (const line of lines) {
      expect(line).not.toContain(HUSH);
      JSON.parse(line);
    }
    expect(lines[2]).toContain('"stack"');
  });

  it('leaves other things alone', () => {
    const { log, last } = capture();
    const fields = {
      tokens: 5,
      tokenizer: 'tokenizer.json',
      keys: ['a'],
      key: 'key_01',
      secret: null,
      url: 'https://host:8080/a@b',
      text: 'Basic English',
    };
    log.info(fields, 'the token is fine');
    expect(last()).toMatchObject({ ...fields, msg: 'the token is fine' });
  });

  it('stays fast on hostile lines', () => {
    const started = performance.now();
    for (const line of [
      `{"secret":"${'\\'.repeat(100_000)}`,
      `{"${'token'.repeat(20_000)}`,
      `://${'a'.repeat(100_000)}`,
      '?'.repeat(100_000),
      `?${'a-'.repeat(50_000)}`,
      '"secret":['.repeat(10_000),
    ]) {
      redactLine(line);
    }
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  it('writes for people when asked', () => {
    const { log, lines } = capture({ pretty: true });
    log.info({ merge: 'mrg_1', token: HUSH }, 'merge started');
    log.error(new Error('boom'));
    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d INFO {2}test: merge started merge=mrg_1 token=\[redacted\]\n$/);
    expect(lines[1]).toMatch(/ERROR test: boom\nError: boom\n {4}at /);
  });
});
