import { AssetFile, Metadata, Name } from './assets.js';
import { ERROR_CODES } from './errors.js';
import { ENDPOINT_EVENT_TYPES, EVENT_TYPES } from './events.js';
import { ID_PATTERNS } from './ids.js';
import { Modifier, Recipe } from './recipe.js';
import { type Static, type TSchema, Type } from './schema.js';
import { ATTEMPT_STATES, MERGE_STAGES, MERGE_STATES } from './states.js';

const closed = { additionalProperties: false } as const;
const Nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const Time = Type.String({ format: 'date-time', description: 'ISO 8601, UTC' });
const Bytes = Type.Integer({ minimum: 0 });

// ── problems ────────────────────────────────────────────────────────────────
export const Problem = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    code: Type.Enum(ERROR_CODES),
    errors: Type.Optional(Type.Array(Type.Object({ pointer: Type.String(), detail: Type.String() }))),
    request_id: Type.String(),
  },
  { title: 'Problem', description: 'RFC 9457 problem details' },
);
export type Problem = Static<typeof Problem>;

// ── merges ──────────────────────────────────────────────────────────────────
export const Webhook = Type.Object(
  {
    url: Type.String({ minLength: 1, maxLength: 2048 }),
    events: Type.Optional(
      Type.Array(Type.Enum([...EVENT_TYPES]), {
        minItems: 1,
        uniqueItems: true,
        description: 'Default: all but merge.progress',
      }),
    ),
    secret: Type.Optional(
      Type.String({
        pattern: '^whsec_[A-Za-z0-9+/]{32,86}={0,2}$',
        description: 'Standard Webhooks secret; made for you and shown once when left out',
      }),
    ),
  },
  closed,
);
export type Webhook = Static<typeof Webhook>;

export const CreateMerge = Type.Object(
  {
    name: Type.Optional(Name),
    recipe: Recipe,
    webhook: Type.Optional(Webhook),
    metadata: Type.Optional(Metadata),
  },
  { ...closed, title: 'CreateMerge' },
);
export type CreateMerge = Static<typeof CreateMerge>;

export const PlanMerge = Type.Object({ recipe: Recipe }, { ...closed, title: 'PlanMerge' });

/** How far the tuning is: after `step` of `steps` steps. */
export const TuningProgress = Type.Object({
  step: Type.Integer({ minimum: 0, description: 'Steps done' }),
  steps: Type.Integer({ minimum: 1 }),
  loss: Type.Number({ description: 'Of the last step: the sum over tasks' }),
  losses: Type.Array(Type.Number(), { description: 'Of the last step, by task in the recipe’s order' }),
});
export type TuningProgress = Static<typeof TuningProgress>;

export const Progress = Type.Object({
  stage: Nullable(Type.Enum([...MERGE_STAGES])),
  bytes_done: Bytes,
  bytes_total: Bytes,
  tuning: Type.Optional(TuningProgress),
});
export type Progress = Static<typeof Progress>;

export const Attempt = Type.Object({
  number: Type.Integer(),
  state: Type.Enum([...ATTEMPT_STATES]),
  worker: Type.String(),
  device: Nullable(Type.String({ description: 'What the worker computes on; null when it did not say' })),
  started_at: Time,
  finished_at: Nullable(Time),
  error: Nullable(Type.Object({ code: Type.Enum(ERROR_CODES), detail: Type.String() })),
});
export type Attempt = Static<typeof Attempt>;

export const Merge = Type.Object(
  {
    object: Type.Literal('merge'),
    id: Type.String({ pattern: ID_PATTERNS.merge }),
    name: Nullable(Type.String()),
    state: Type.Enum([...MERGE_STATES]),
    method: Type.String(),
    recipe: Type.Unsafe<Recipe>({ ...Recipe, description: 'With every default filled in' }),
    progress: Progress,
    attempts: Type.Array(Attempt),
    result: Nullable(
      Type.Object({
        checkpoint_id: Type.String(),
        bytes: Bytes,
        files: Type.Array(AssetFile),
      }),
    ),
    error: Nullable(
      Type.Object({
        code: Type.Enum(ERROR_CODES),
        detail: Type.String(),
        errors: Type.Optional(Type.Array(Type.Object({ pointer: Type.String(), detail: Type.String() }))),
      }),
    ),
    webhook: Nullable(
      Type.Object({
        url: Type.String(),
        events: Type.Array(Type.Enum([...EVENT_TYPES])),
        disabled: Type.Optional(
          Type.Object(
            { reason: Type.Enum(['gone', 'exhausted']), at: Time },
            {
              description:
                'There when it gets nothing any more, because it failed; sending a delivery again takes it back',
            },
          ),
        ),
        secret: Type.Optional(Type.String({ description: 'Only in the answer to POST, and only when made for you' })),
      }),
    ),
    metadata: Metadata,
    cancel_requested_at: Nullable(Time),
    created_at: Time,
    started_at: Nullable(Time),
    finished_at: Nullable(Time),
  },
  { title: 'Merge' },
);
export type Merge = Static<typeof Merge>;

export const MergeEvent = Type.Object(
  {
    object: Type.Literal('event'),
    id: Type.String({ pattern: ID_PATTERNS.event }),
    merge_id: Type.String(),
    seq: Type.Integer({ minimum: 1, description: 'Counts from 1 within the merge, without holes' }),
    type: Type.Enum([...EVENT_TYPES]),
    data: Type.Record(Type.String(), Type.Unknown()),
    created_at: Time,
  },
  { title: 'Event' },
);
export type MergeEvent = Static<typeof MergeEvent>;

/** An event as the project's stream tells it: of a merge, or of a webhook endpoint. */
export const ProjectEvent = Type.Object(
  {
    object: Type.Literal('event'),
    id: Type.String({ pattern: ID_PATTERNS.event }),
    position: Type.Integer({
      minimum: 1,
      description: 'Its place among all events of the project: rises, and an event that is seen later has a higher one',
    }),
    type: Type.Enum([...ENDPOINT_EVENT_TYPES]),
    merge_id: Nullable(Type.String()),
    seq: Nullable(Type.Integer({ minimum: 1, description: 'Counts from 1 within the merge, without holes' })),
    endpoint_id: Nullable(
      Type.String({ description: 'Of webhook.disabled; null there when it is a merge’s own webhook' }),
    ),
    data: Type.Record(Type.String(), Type.Unknown()),
    created_at: Time,
  },
  { title: 'ProjectEvent' },
);
export type ProjectEvent = Static<typeof ProjectEvent>;

/** In the project's stream, without a position: deliveries to this endpoint were made, tried or ended. */
export const DeliveriesChanged = Type.Object(
  { object: Type.Literal('deliveries_changed'), endpoint_id: Type.String({ pattern: ID_PATTERNS.webhookEndpoint }) },
  { title: 'DeliveriesChanged' },
);
export type DeliveriesChanged = Static<typeof DeliveriesChanged>;

export const PlannedFile = Type.Object({
  path: Type.String(),
  bytes: Bytes,
  tensors: Type.Integer(),
});

export const Plan = Type.Object(
  {
    object: Type.Literal('plan'),
    method: Type.String(),
    recipe: Type.Unsafe<Recipe>({ ...Recipe, description: 'With every default filled in' }),
    tensors: Type.Object({
      merged: Type.Integer(),
      copied: Type.Integer({
        description: 'From the base (or the first model) as they are: excluded or not floating point',
      }),
      heads: Type.Integer({ description: 'What the base lacks, kept in heads/' }),
    }),
    parameters: Type.Integer({ description: 'Elements of the merged tensors' }),
    bytes_read: Bytes,
    bytes_written: Bytes,
    memory_bytes: Type.Integer({ description: 'Buffers at the peak, an upper bound' }),
    seconds: Type.Number({ description: 'Estimate on this machine, without the steps of a tuning' }),
    tuning: Type.Optional(
      Type.Object(
        {
          steps: Type.Integer(),
          coefficients: Type.Integer({ description: 'How many are learned: rows times models' }),
          task_vector_bytes: Type.Integer({ description: 'Of a temporary file on the worker’s disk' }),
        },
        { description: 'For methods that learn from tasks' },
      ),
    ),
    files: Type.Array(PlannedFile),
    warnings: Type.Array(Type.String()),
  },
  { title: 'Plan' },
);
export type Plan = Static<typeof Plan>;

export const TensorReport = Type.Object({
  name: Type.String(),
  elements: Type.Integer(),
  models: Type.Optional(
    Type.Array(Type.Integer(), {
      description:
        'Where not all models are merged in their order: which ones, by index; lists of this tensor follow it',
    }),
  ),
  parameters: Type.Optional(
    Type.Record(Type.String(), Type.Unknown(), { description: 'Where they differ from tensor to tensor' }),
  ),
  model_parameters: Type.Optional(Type.Array(Type.Record(Type.String(), Type.Unknown()))),
  norms: Type.Array(Type.Number(), { description: 'L2 norm of each model’s task vector (float64 sums)' }),
  trimmed: Type.Optional(Type.Array(Type.Number(), { description: 'Share of each task vector’s entries set to zero' })),
  sign_conflicts: Type.Optional(
    Type.Number({ description: 'Share of entries whose surviving task vectors disagree in sign' }),
  ),
});
export type TensorReport = Static<typeof TensorReport>;

/** How well a model does a task. */
export const Score = Type.Object({
  entropy: Nullable(
    Type.Number({ description: 'Mean Shannon entropy of the predictions, in nats; null when logits are not finite' }),
  ),
  accuracy: Nullable(Type.Number({ description: 'Share of right predictions; null without labels' })),
});
export type Score = Static<typeof Score>;

export const TaskReport = Type.Object({
  name: Type.String(),
  model: Type.String({ description: 'The input’s name' }),
  rows: Type.Integer({ description: 'Of the dataset that was evaluated' }),
  entropy: Nullable(Type.Number({ description: 'Of the merged model' })),
  accuracy: Nullable(Type.Number()),
  individual: Score,
  base: Nullable(Score),
});
export type TaskReport = Static<typeof TaskReport>;

/** How an initializer of a graph was matched to a tensor of the checkpoint. */
export const BindingReport = Type.Object({
  initializer: Type.String(),
  tensor: Type.String(),
  by: Type.Enum(['name', 'prefix', 'content', 'order', 'unfolded']),
  transposed: Type.Boolean(),
});
export type BindingReport = Static<typeof BindingReport>;

export const TuningReport = Type.Object({
  provider: Type.Enum(['cpu', 'cuda', 'webgpu']),
  threads: Type.Integer(),
  steps: Type.Integer(),
  resumed_at: Type.Array(Type.Integer(), { description: 'Steps at which an interrupted tuning went on' }),
  seconds_per_step: Type.Number({ description: 'Median' }),
  peak_rss_bytes: Type.Integer({ description: 'Of the process that tuned' }),
  task_vector_bytes: Type.Integer({ description: 'Of the mapped file with base and task vectors' }),
  insensitive: Type.Array(Type.String(), {
    description: 'Tensors on which the loss does not depend beyond rounding; their coefficients stayed as they were',
  }),
  bindings: Type.Array(
    Type.Object({
      task: Type.String(),
      bound: Type.Array(BindingReport),
      constants: Type.Array(Type.String(), { description: 'Small initializers that are no tensor of the checkpoint' }),
      unused: Type.Array(Type.String(), { description: 'Merged tensors that the graph does not read' }),
    }),
  ),
});
export type TuningReport = Static<typeof TuningReport>;

export const Coefficients = Type.Object({
  tensors: Type.Array(Type.String(), { description: 'Rows; `*` alone for one row that serves all tensors' }),
  models: Type.Array(Type.String(), { description: 'Columns' }),
  values: Type.Array(Type.Array(Type.Number()), { description: 'As the optimiser holds them, before clamping' }),
  clamp: Nullable(Type.Tuple([Type.Number(), Type.Number()])),
});
export type Coefficients = Static<typeof Coefficients>;

const Share = Type.Number({ minimum: 0, maximum: 1 });

export const Report = Type.Object(
  {
    method: Type.String(),
    inputs: Type.Array(
      Type.Object({
        role: Type.Enum(['base', 'model', 'adapter']),
        name: Type.String(),
        files: Type.Array(AssetFile),
        parameters: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
        norm: Type.Optional(Type.Number({ description: 'L2 norm of the whole task vector' })),
        threshold: Type.Optional(
          Type.Number({ description: 'Smallest magnitude that survives the trim, for a whole-model trim' }),
        ),
        trimmed: Type.Optional(Type.Number()),
        rescaler: Type.Optional(
          Type.Number({
            description: 'Factor of the masked result that rebuilds the model’s task, for methods with masks',
          }),
        ),
      }),
    ),
    parameters: Type.Record(Type.String(), Type.Unknown()),
    modifiers: Type.Optional(
      Type.Array(Modifier, { description: 'As the recipe has them, with `auto` replaced by what it came to' }),
    ),
    seconds: Type.Record(Type.String(), Type.Number(), { description: 'By stage' }),
    bytes_read: Bytes,
    bytes_written: Bytes,
    peak_rss_bytes: Bytes,
    sign_conflicts: Type.Optional(Type.Number()),
    coefficients: Type.Optional(Coefficients),
    loss: Type.Optional(Type.Array(Type.Number(), { description: 'By step: the sum over tasks' })),
    losses: Type.Optional(Type.Array(Type.Array(Type.Number()), { description: 'By step, then task' })),
    tuning: Type.Optional(TuningReport),
    tasks: Type.Optional(Type.Array(TaskReport)),
    adapter: Type.Optional(
      Type.Object(
        {
          kept: Type.Optional(Share),
          modules: Type.Array(
            Type.Object({
              name: Type.String(),
              rank: Type.Integer(),
              kept: Type.Optional(Share),
              norm: Type.Optional(Type.Number({ description: 'Frobenius norm of what the product stands for' })),
            }),
          ),
        },
        {
          description:
            'Of results that are LoRA adapters: kept is the share of the squared norm that the products have',
        },
      ),
    ),
    tensors: Type.Array(TensorReport),
    copied: Type.Array(Type.String(), { description: 'Tensors taken over unmerged' }),
    warnings: Type.Array(Type.String()),
  },
  { title: 'Report' },
);
export type Report = Static<typeof Report>;

// ── methods ─────────────────────────────────────────────────────────────────
const JsonSchema = Type.Unsafe<Record<string, unknown>>({
  type: 'object',
  description: 'JSON Schema',
  additionalProperties: true,
});

/** Something that changes what a method makes of the task vectors. */
export const MethodModifier = Type.Object({
  name: Type.String(),
  summary: Type.String(),
  formula: Type.String(),
  source: Type.String(),
  notes: Type.Array(Type.String()),
  parameters: JsonSchema,
});
export type MethodModifier = Static<typeof MethodModifier>;

export const Method = Type.Object(
  {
    object: Type.Literal('method'),
    name: Type.String(),
    summary: Type.String(),
    formula: Type.String(),
    source: Type.String(),
    notes: Type.Array(Type.String(), { description: 'What differs from the paper or from other tools' }),
    needs_base: Type.Enum(['required', 'optional', 'none']),
    needs_tasks: Type.Boolean({ description: 'Learns its coefficients from the recipe’s tasks, each with `data`' }),
    models: Type.Object({ minimum: Type.Integer(), maximum: Nullable(Type.Integer()) }),
    parameters: JsonSchema,
    model_parameters: JsonSchema,
    modifiers: Type.Array(MethodModifier, { description: 'What a recipe with this method may have as `modifiers`' }),
  },
  { title: 'Method' },
);
export type Method = Static<typeof Method>;

/** A page of a cursor list. */
export const List = <T extends TSchema>(item: T) =>
  Type.Object({
    data: Type.Array(item),
    has_more: Type.Boolean(),
    next_cursor: Nullable(Type.String()),
  });
export interface List<T> {
  data: T[];
  has_more: boolean;
  next_cursor: string | null;
}
