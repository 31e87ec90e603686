/** A safetensors file whose header is the given text (or bytes), however wrong, with this much data after it. */
export function rawFile(header: string | Uint8Array, dataBytes = 0): Uint8Array {
  const json = Buffer.from(header);
  const file = Buffer.alloc(8 + json.length + dataBytes, 0xab);
  file.writeBigUInt64LE(BigInt(json.length));
  json.copy(file, 8);
  return file;
}
