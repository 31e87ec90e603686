/**
 * The text of a JSON object with other values at dotted paths; objects on the way are made where there are none, and what becomes
 * undefined is taken out. Whatever is not changed stays as it is written: Python tells 1.0 from 1 and writes Infinity, JSON.stringify would do neither.
 * The text must be an object, as `parseConfig` takes it.
 */
export function editConfig(text: string, changes: Readonly<Record<string, unknown>>): string {
  let edited = text;
  for (const [path, value] of Object.entries(changes)) {
    edited = setAt(edited, skipSpace(edited, 0), path.split('.'), value);
  }
  return edited;
}

interface Member {
  key: string;
  /** Where the key's quote is. */
  at: number;
  /** The value's place. */
  begin: number;
  end: number;
}

/** `open`: where the object's brace is. */
function setAt(text: string, open: number, [key = '', ...inner]: string[], value: unknown): string {
  const members = membersOf(text, open);
  const member = members.findLast((candidate) => candidate.key === key);
  if (member !== undefined && inner.length > 0 && text[member.begin] === '{') {
    return setAt(text, member.begin, inner, value);
  }
  if (value === undefined) return member === undefined ? text : withoutMember(text, open, members, member);
  const nested = inner.reduceRight<unknown>((object, name) => ({ [name]: object }), value);
  if (member !== undefined) {
    return text.slice(0, member.begin) + print(nested, indentAt(text, member.at)) + text.slice(member.end);
  }
  const last = members.at(-1);
  if (last === undefined)
    return `${text.slice(0, open + 1)}${JSON.stringify(key)}: ${print(nested, '')}${text.slice(open + 1)}`;
  const indent = indentAt(text, last.at);
  const line = indent === null ? ' ' : `\n${indent}`;
  return `${text.slice(0, last.end)},${line}${JSON.stringify(key)}: ${print(nested, indent)}${text.slice(last.end)}`;
}

/** With the comma that told the member from the next one or, where it is the last, from the one before. */
function withoutMember(text: string, open: number, members: readonly Member[], member: Member): string {
  const at = members.indexOf(member);
  const [before, next] = [members[at - 1], members[at + 1]];
  if (next !== undefined) return text.slice(0, member.at) + text.slice(next.at);
  return text.slice(0, before?.end ?? open + 1) + text.slice(member.end);
}

/** The white space before what begins its line; null when something else is before it. */
function indentAt(text: string, at: number): string | null {
  const before = text.slice(text.lastIndexOf('\n', at - 1) + 1, at);
  return before.trim() === '' && text.lastIndexOf('\n', at - 1) >= 0 ? before : null;
}

function print(value: unknown, indent: string | null): string {
  if (indent === null) return JSON.stringify(value);
  return JSON.stringify(value, null, 2).replaceAll('\n', `\n${indent}`);
}

function membersOf(text: string, open: number): Member[] {
  const members: Member[] = [];
  let at = skipSpace(text, open + 1);
  while (text[at] === '"') {
    const end = skipValue(text, at);
    const begin = skipSpace(text, skipSpace(text, end) + 1);
    const member = { key: JSON.parse(text.slice(at, end)) as string, at, begin, end: skipValue(text, begin) };
    members.push(member);
    at = skipSpace(text, member.end);
    if (text[at] === ',') at = skipSpace(text, at + 1);
  }
  return members;
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && ' \t\r\n'.includes(text.charAt(at))) at++;
  return at;
}

/** Where the value that begins here ends. */
function skipValue(text: string, from: number): number {
  if (text[from] === '"') return skipString(text, from);
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    const char = text.charAt(at);
    if (char === '"') at = skipString(text, at) - 1;
    else if (char === '{' || char === '[') depth++;
    else if (char === '}' || char === ']') {
      if (depth === 0) return at;
      if (--depth === 0) return at + 1;
    } else if (depth === 0 && ', \t\r\n'.includes(char)) return at;
  }
  return text.length;
}

function skipString(text: string, from: number): number {
  let at = from + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at + 1;
}
