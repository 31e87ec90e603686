import { execFileSync } from 'node:child_process';
import { type Argument, type Copy, DockerfileParser, type From, type JSONInstruction } from 'dockerfile-ast';
import { ROOT, readText } from './workspace.js';

export const DOCKERFILE = 'deploy/Dockerfile';

export interface Instruction {
  keyword: string;
  /** Without the flags. */
  text: string;
  flags: string[];
  /** Words, or the strings of the JSON form. */
  words: string[];
  json: boolean;
  line: number;
}

export interface Stage {
  name: string;
  /** The image or stage it begins with, variables filled in. */
  base: string;
  instructions: Instruction[];
}

/** The stages of our Dockerfile, in their order. */
export function readStages(text: string = readText(DOCKERFILE)): Stage[] {
  const parsed = DockerfileParser.parse(text);
  const defaults = new Map(
    parsed.getInitialARGs().map((arg) => [arg.getProperty()?.getName(), arg.getProperty()?.getValue()]),
  );
  const stages: Stage[] = [];
  for (const node of parsed.getInstructions()) {
    const keyword = node.getKeyword();
    if (keyword === 'FROM') {
      const from = node as From;
      const base = (from.getImage() ?? '').replace(/\$\{(\w+)\}/g, (_, name: string) => defaults.get(name) ?? '');
      stages.push({ name: from.getBuildStage() ?? `${stages.length}`, base, instructions: [] });
      continue;
    }
    const words = node.getArguments().map((argument: Argument) => argument.getValue());
    const withFlags = node as JSONInstruction | Copy;
    const strings =
      'getJSONStrings' in withFlags ? withFlags.getJSONStrings().map((value) => value.getJSONValue()) : [];
    stages.at(-1)?.instructions.push({
      keyword,
      text: node.getArgumentsContent() ?? '',
      flags: 'getFlags' in withFlags ? withFlags.getFlags().map(String) : [],
      words: strings.length > 0 ? strings : words,
      json: strings.length > 0,
      line: node.getRange().start.line + 1,
    });
  }
  return stages;
}

/** A stage's instructions after those of the stages it begins with. */
export function inherited(stages: Stage[], name: string): Instruction[] {
  const stage = stages.find((one) => one.name === name);
  return stage === undefined ? [] : [...inherited(stages, stage.base), ...stage.instructions];
}

/** What an image of that stage has in its environment, as far as the Dockerfile says. */
export function imageEnvironment(stages: Stage[], name: string): Record<string, string> {
  const settings = inherited(stages, name).filter(({ keyword }) => keyword === 'ENV');
  return Object.fromEntries(
    settings.flatMap(({ words }) => words.map((word) => [word.replace(/=.*/s, ''), word.replace(/^[^=]*=/, '')])),
  );
}

/** Files that the engine would see: of those that git would keep, what .dockerignore lets through. */
export function buildContext(): string[] {
  const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  const ignored = ignoreRules(readText('.dockerignore'));
  return listed.split('\0').filter((file) => file !== '' && !ignored(file));
}

/** Whether patterns of .dockerignore leave a file out; without `!`, which ours does not use. */
export function ignoreRules(text: string): (file: string) => boolean {
  const lines = text.split('\n').map((line) => line.trim());
  const patterns = lines.filter((line) => line !== '' && !line.startsWith('#'));
  if (patterns.some((pattern) => pattern.startsWith('!'))) throw new Error('.dockerignore: ! is not understood here');
  const rules = patterns.map((pattern) => {
    const source = pattern
      .replace(/[.+^$()|{}\\]/g, '\\$&')
      .replace(/\*\*\/|\*/g, (star) => (star === '*' ? '[^/]*' : '(?:.*/)?'));
    return new RegExp(`^${source}(?:/|$)`);
  });
  return (file) => rules.some((rule) => rule.test(file));
}
