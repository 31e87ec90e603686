import { AmalgamError, type Method, suggest } from '@amalgam/contracts';
import { adamerging } from './adamerging.js';
import { arceeFusion } from './arcee-fusion.js';
import { breadcrumbs } from './breadcrumbs.js';
import { breadcrumbsTies } from './breadcrumbs-ties.js';
import { consensusTa } from './consensus-ta.js';
import { dareLinear } from './dare-linear.js';
import { dareTies } from './dare-ties.js';
import { isOverVectors, type MergeMethod } from './definition.js';
import { della } from './della.js';
import { dellaLinear } from './della-linear.js';
import { emr } from './emr.js';
import { extractLora } from './extract-lora.js';
import { karcher } from './karcher.js';
import { linear } from './linear.js';
import { describeModifier, listModifiers } from './lines.js';
import { magmax } from './magmax.js';
import { mergeLora } from './merge-lora.js';
import { metagpt } from './metagpt.js';
import { modelBreadcrumbs } from './model-breadcrumbs.js';
import { modelStock } from './model-stock.js';
import { multislerp } from './multislerp.js';
import { nearswap } from './nearswap.js';
import { nuslerp } from './nuslerp.js';
import { describeParameters } from './parameter-schemas.js';
import { passthrough } from './passthrough.js';
import { pcb } from './pcb.js';
import { ram } from './ram.js';
import { ramplusTl } from './ramplus-tl.js';
import { sce } from './sce.js';
import { slerp } from './slerp.js';
import { taskArithmetic } from './task-arithmetic.js';
import { ties } from './ties.js';

/** Every method. A new one is a new file and its line here. */
const METHODS: MergeMethod[] = [
  linear,
  taskArithmetic,
  ties,
  dareLinear,
  dareTies,
  della,
  dellaLinear,
  breadcrumbs,
  breadcrumbsTies,
  slerp,
  nuslerp,
  multislerp,
  karcher,
  modelStock,
  nearswap,
  arceeFusion,
  sce,
  ram,
  ramplusTl,
  passthrough,
  modelBreadcrumbs,
  magmax,
  metagpt,
  consensusTa,
  pcb,
  emr,
  adamerging,
  mergeLora,
  extractLora,
];

const byName = new Map(METHODS.map((method) => [method.name, method]));

export function listMethods(): MergeMethod[] {
  return METHODS;
}

/** @throws AmalgamError `unknown_method`, with the nearest name. */
export function getMethod(name: string): MergeMethod {
  const method = byName.get(name);
  if (method === undefined) {
    throw new AmalgamError('unknown_method', `there is no method "${name}"${suggest(name, [...byName.keys()])}`, {
      errors: [{ pointer: '/method', detail: `unknown method "${name}"${suggest(name, [...byName.keys()])}` }],
    });
  }
  return method;
}

/** The method as the API describes it. */
export function describeMethod(method: MergeMethod): Method {
  return {
    object: 'method',
    name: method.name,
    summary: method.summary,
    formula: method.formula,
    source: method.source,
    notes: method.notes,
    needs_base: method.base,
    needs_tasks: method.tuned !== undefined,
    models: method.models,
    parameters: describeParameters(method, method.parameters),
    model_parameters: describeParameters(method, method.modelParameters),
    modifiers: takesModifiers(method) ? listModifiers().map(describeModifier) : [],
  };
}

/** Has it a merged task vector that may be scaled afterwards, where the recipe has a base? */
function takesModifiers(method: MergeMethod): boolean {
  const { tuned, masks, adapter } = method;
  return isOverVectors(method, true) && tuned === undefined && masks === undefined && adapter === undefined;
}
