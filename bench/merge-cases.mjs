// What bench/merge.mjs measures: the methods of the registry, with settings that make them work as they mostly do.
import { listMethods } from '@amalgam/methods';

/** Settings besides the defaults, each with a row of its own. */
const VARIANTS = {
  ties: [{ scope: 'model' }, { scope: 'tensor' }],
  breadcrumbs: [{ scope: 'tensor' }, { scope: 'row' }, { scope: 'model' }],
  breadcrumbs_ties: [{ scope: 'tensor' }],
  sce: [{ select_topk: 1 }, { select_topk: 0.2 }],
};

/** The same in mergekit's language, where it has the method; tensors are its scope. */
const MERGEKIT = {
  linear: { models: { weight: 1 } },
  slerp: { merge: { t: 0.5 }, baseIsFirst: true },
  nuslerp: { models: { weight: 1 } },
  multislerp: { models: { weight: 1 } },
  karcher: {},
  task_arithmetic: { models: { weight: 1 }, merge: { lambda: 0.3 } },
  ties: { models: { weight: 1, density: 0.2 } },
  dare_linear: { models: { weight: 1, density: 0.5 }, merge: { lambda: 0.3 } },
  dare_ties: { models: { weight: 1, density: 0.5 }, merge: { lambda: 0.5 } },
  della: { models: { weight: 1, density: 0.7, epsilon: 0.07 }, merge: { lambda: 1.1 } },
  della_linear: { models: { weight: 1, density: 0.7, epsilon: 0.07 }, merge: { lambda: 0.3 } },
  breadcrumbs: { models: { weight: 1, density: 0.15, gamma: 0.006 }, merge: { lambda: 0.2 } },
  breadcrumbs_ties: { models: { weight: 1, density: 0.15, gamma: 0.006 } },
  sce: { merge: { select_topk: 0.2 } },
  ram: {},
  ramplus_tl: {},
  model_stock: {},
  nearswap: { merge: { t: 0.001 } },
  arcee_fusion: {},
  passthrough: {},
};

/** Of the named methods, or all that learn nothing: one row for each variant and number of models that it can take. */
export function mergeCases(names, counts) {
  const methods = listMethods().filter(
    ({ name, tuned, adapter }) => names?.includes(name) ?? (tuned === undefined && adapter === undefined),
  );
  const unknown = (names ?? []).filter((name) => !methods.some((method) => method.name === name));
  if (unknown.length > 0) throw new Error(`no such method: ${unknown.join(', ')}`);
  return methods.flatMap(({ name, base, models: { minimum, maximum } }) => {
    const fitting = counts.filter((count) => count >= minimum && count <= (maximum ?? count));
    // A method that takes a number of models that was not asked for is measured with that.
    const taken = fitting.length > 0 ? fitting : [maximum ?? minimum];
    return (VARIANTS[name] ?? [{}]).flatMap((parameters) =>
      taken.map((count) => ({ method: name, parameters, count, hasBase: base === 'required' })),
    );
  });
}

/** mergekit's configuration over the same folders, or null where it has no such method. */
export function mergekitConfig(method, folders, hasBase, dtype) {
  const like = MERGEKIT[method];
  if (like === undefined) return null;
  const models = hasBase ? folders.slice(1) : folders;
  const base = hasBase || like.baseIsFirst ? { base_model: folders[0] } : {};
  return {
    merge_method: method,
    ...base,
    dtype,
    models: models.map((model) => ({ model, ...(like.models && { parameters: like.models }) })),
    ...(like.merge && { parameters: like.merge }),
  };
}
