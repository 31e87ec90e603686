import { dirname } from 'node:path';

/** Of what the runtime says, what is for the log alone: the function it stands in, and where its own sources were built. */
const NOISE = /^.*\[ONNXRuntimeError\] : \d+ : \w+ : |\/onnxruntime_src\/(?:[\w.+-]+\/)*/g;
/** Longer ones list shapes and types without end. */
const LONGEST = 1000;

/** What the runtime has against a model, without the folder on this machine in which `path` lies. */
export function reasonOf(message: string, path?: string): string {
  const told = path === undefined ? message : message.replaceAll(`${dirname(path)}/`, '');
  const plain = told.replaceAll(NOISE, '').trim();
  return plain.length > LONGEST ? `${plain.slice(0, LONGEST)}…` : plain;
}

/** Whether an error of the runtime, or of JavaScript, says that memory ran out. */
export function wantsMemory(error: Error): boolean {
  return /alloc|out of memory|available memory/i.test(error.message);
}
