import type { TensorHistogram, TensorInfo } from '@amalgam/contracts';
import { answerReading } from './answer-reading.js';
import { countValues } from './histogram.js';

export interface HistogramThreadData {
  tensor: TensorInfo;
  bins: number;
}

await answerReading(
  ({ tensor, bins }: HistogramThreadData, read): Promise<TensorHistogram> =>
    countValues(tensor, bins, (offset, length) => read(tensor.file, offset, length)),
);
