import { type Node, parseSync, Visitor } from 'oxc-parser';

/** A module that a file names: by an import of any kind, or to have it resolved. */
export interface Reference {
  /** As written; null when it is computed. */
  specifier: string | null;
  /** From 1. */
  line: number;
}

/**
 * Every module that a TypeScript source names: `import`, `import type`, `export … from`, `import()`, types as in
 * `import('x').T`, `require`, `import.meta.resolve`, `createRequire(…).resolve`, and any string that is a module of this
 * workspace (programs are started by such names).
 *
 * @throws Error with the file's name when it cannot be parsed.
 */
export function readReferences(file: string, source: string): Reference[] {
  const { program, errors } = parseSync(file, source);
  if (errors.length > 0) throw new Error(`${file}: ${errors[0]?.message}`);
  const found = new Map<string, Reference>();
  const add = (node: Node | null | undefined) => {
    if (node === null || node === undefined) return;
    const specifier = node.type === 'Literal' && typeof node.value === 'string' ? node.value : null;
    const line = source.slice(0, node.start).split('\n').length;
    found.set(`${line} ${specifier}`, { specifier, line });
  };
  new Visitor({
    ImportDeclaration: (node) => add(node.source),
    ExportAllDeclaration: (node) => add(node.source),
    ExportNamedDeclaration: (node) => add(node.source),
    ImportExpression: (node) => add(node.source),
    TSImportType: (node) => add(node.source),
    TSExternalModuleReference: (node) => add(node.expression),
    CallExpression(node) {
      const [argument] = node.arguments;
      if (resolvesModules(node.callee) && argument?.type === 'Literal') add(argument);
    },
    Literal(node) {
      if (typeof node.value === 'string' && /^@amalgam\/[\w./-]+$/.test(node.value)) add(node);
    },
  }).visit(program);
  return [...found.values()];
}

/** `require`, `createRequire(…)`, and `resolve` of these or of `import.meta`. */
function resolvesModules(callee: Node): boolean {
  if (callee.type === 'MemberExpression') {
    const named = callee.property.type === 'Identifier' && callee.property.name === 'resolve';
    return named && (callee.object.type === 'MetaProperty' || resolvesModules(callee.object));
  }
  if (callee.type === 'CallExpression') return isNamed(callee.callee, 'createRequire');
  return isNamed(callee, 'require');
}

function isNamed(node: Node, name: string): boolean {
  return node.type === 'Identifier' && node.name === name;
}
