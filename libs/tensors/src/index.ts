export {
  type CheckpointDescription,
  type CheckpointTensor,
  describeCheckpoint,
} from './checkpoint.js';
export { type CheckpointConfigs, type JsonObject, parseConfig } from './config.js';
export { type DatasetDescription, type DatasetTensor, describeDataset, LABELS } from './dataset.js';
export { type DatasetReader, openDataset } from './dataset-reader.js';
export { checkFinite, checkLabels, IGNORED_LABEL, readLabels } from './dataset-values.js';
export { type FolderFile, localFileFolder, localFolder, type ReadableFolder } from './folder.js';
export { compileGlobs } from './glob.js';
export * from './half.js';
export { checkpointFromInventory, type Inventory, type InventoryTensor, inventoryOf } from './inventory.js';
export { readHeader, type SafetensorsHeader, type TensorEntry } from './safetensors-header.js';
export * from './safetensors-write.js';
export { bytesOf, elementsOf } from './shape.js';
export { type ByteSource, bytesSource, type FileSource, fileSource } from './source.js';
