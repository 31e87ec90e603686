// piscina loads its file with require(). Node 20 aborts the process when a thread is terminated while require() loads an ES
// module; a dynamic import can be cut off at any time.
const loaded = import('./thread.js');

export = async (task: import('./job.js', { with: { 'resolution-mode': 'import' }}).Task) =>
  (await loaded).default(task);
