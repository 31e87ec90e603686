import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino';
import { prettyLine } from './pretty.js';
import { redactLine } from './redact.js';

export type Logger = PinoLogger;

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface LoggerOptions {
  /** The program: api, worker, cli. */
  name: string;
  /** Default: info. */
  level?: LogLevel;
  /** Lines for people instead of JSON. */
  pretty?: boolean;
  /** Default: stdout. A program whose output is data logs to stderr. */
  destination?: 'stdout' | 'stderr' | DestinationStream;
}

/**
 * A pino logger that writes JSON lines with ISO times and level names. Secrets are taken out of the finished
 * line, so it does not matter how they got into it: a field, a child's binding, a serialized request, an error.
 */
export function createLogger(options: LoggerOptions): Logger {
  const { name, level = 'info', pretty = false, destination = 'stdout' } = options;
  const stream =
    typeof destination === 'object'
      ? destination
      : pino.destination({ fd: destination === 'stdout' ? 1 : 2, sync: true });
  return pino(
    {
      name,
      level,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      hooks: { streamWrite: redactLine },
    },
    pretty ? { write: (line: string) => stream.write(prettyLine(line)) } : stream,
  );
}
