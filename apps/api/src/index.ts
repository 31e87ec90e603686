export { type AppOptions, buildApp } from './app.js';
export { type RunningApi, startApi } from './start.js';
export type { Api } from './types.js';
