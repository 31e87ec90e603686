export { createLogger, LOG_LEVELS, type Logger, type LoggerOptions, type LogLevel } from './logger.js';
export { createMetrics, type Metrics } from './metrics.js';
export { redactLine } from './redact.js';
