import { describeMethod, getMethod, listMethods } from '@amalgam/methods';
import { Command } from 'commander';
import { showTable } from '../show.js';

export function methodsCommand(): Command {
  return new Command('methods')
    .description('List the merging methods, or show one with its parameters')
    .argument('[name]')
    .option('--json', 'as JSON')
    .action((name: string | undefined, options: { json?: boolean }) => {
      if (name === undefined) {
        const methods = listMethods().map(describeMethod);
        if (options.json) console.log(JSON.stringify(methods, null, 2));
        else
          console.log(
            showTable(
              ['method', 'summary'],
              methods.map((method) => [method.name, method.summary]),
            ),
          );
        return;
      }
      const method = describeMethod(getMethod(name));
      if (options.json) {
        console.log(JSON.stringify(method, null, 2));
        return;
      }
      console.log(`${method.name}: ${method.summary}\n\n  ${method.formula}\n\nSource: ${method.source}\n`);
      for (const [title, schema] of [
        ['parameters', method.parameters],
        ['parameters of a model', method.model_parameters],
      ] as const) {
        const properties = Object.entries((schema['properties'] ?? {}) as Record<string, Record<string, unknown>>);
        const rows = properties.map(([key, p]) => [key, JSON.stringify(p['default']), String(p['description'] ?? '')]);
        console.log(`${showTable([title, 'default', 'meaning'], rows)}\n`);
      }
      for (const note of method.notes) console.log(`* ${note}`);
    });
}
