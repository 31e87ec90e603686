export * from './dtypes.js';
export * from './errors.js';
export * from './events.js';
export * from './ids.js';
export * from './recipe.js';
export * from './resources.js';
export * from './states.js';
export * from './validate.js';
