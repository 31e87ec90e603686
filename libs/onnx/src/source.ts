/** Random access to the bytes of one file, wherever it lies. A source of `@amalgam/tensors` is one. */
export interface ByteSource {
  /** What error messages call the file. */
  readonly name: string;
  /** Bytes of the whole file. */
  size(): Promise<number>;
  /** Exactly `length` bytes from `offset`, in an ArrayBuffer of their own that begins at byte 0. */
  read(offset: number, length: number): Promise<Uint8Array>;
}
