import { movePointers } from '@amalgam/mergekit';
import { Command } from 'commander';
import { planRecipe } from '../local-plan.js';
import { barProgress } from '../merge-progress.js';
import { parseMetadata } from '../options.js';
import { inFile, readRecipeFile } from '../recipe-file.js';
import { connect, type RemoteOptions, withRemoteOptions } from '../remote/connect.js';
import { downloadFiles, endTransfer, refuseFullFolder, showTransfer } from '../remote/download-files.js';
import { followMerge, reportEnd } from '../remote/follow-merge.js';
import { isAllLocal, type SendReport, sendInputs } from '../remote/send-inputs.js';

interface Options extends RemoteOptions {
  name?: string;
  metadata?: Record<string, string>;
  webhook?: string;
  wait?: boolean;
  download?: string;
}

export function submitCommand(): Command {
  const command = new Command('submit')
    .description(
      'Have a service carry out a recipe: its local inputs are uploaded, unless the service has the same files',
    )
    .argument(
      '<recipe>',
      'YAML or JSON file, also mergekit’s; inputs are paths from its folder, ids, or models of the hub',
    )
    .option('--name <name>', 'of the merge')
    .option('--metadata <key=value>', 'may come several times', parseMetadata)
    .option('--webhook <url>', 'told about what becomes of the merge')
    .option('--wait', 'follow it to its end; exit code 1 when it fails')
    .option('--download <dir>', 'wait, and copy the result into this folder, which must be empty or not there');
  return withRemoteOptions(command).action(submit);
}

async function submit(path: string, options: Options): Promise<void> {
  const { json = false, name, metadata, webhook, download } = options;
  const client = connect(options);
  if (download !== undefined) await refuseFullFolder('--download', download);
  const { recipe, warnings, folder, pointerOf } = await readRecipeFile(path);
  const told = (error: unknown) => inFile(movePointers(error, pointerOf), path);
  if (await isAllLocal(recipe, folder)) {
    // How much memory a merge may take is the service's matter.
    await planRecipe(recipe, folder, { memory: Number.MAX_SAFE_INTEGER }).catch((error: unknown) => {
      throw told(error);
    });
  }
  if (!json) for (const warning of warnings) console.error(`note: ${warning}`);

  const sent = await sendInputs(client, recipe, folder, reportSending(json));
  const merge = await client.merges
    .create({
      recipe: sent,
      ...(name !== undefined && { name }),
      ...(metadata !== undefined && { metadata }),
      ...(webhook !== undefined && { webhook: { url: webhook } }),
    })
    .catch((error: unknown) => {
      throw told(movePointers(error, (pointer) => pointer.replace(/^\/recipe(?=\/|$)/, '')));
    });
  if (json) console.log(JSON.stringify({ event: 'submitted', merge }));
  else console.error(`submitted   ${merge.id}`);
  if (options.wait !== true && download === undefined) {
    if (!json) console.log(merge.id);
    return;
  }

  const end = await followMerge(client, merge.id, barProgress(), { json });
  if (end.state === 'succeeded' && download !== undefined) {
    await downloadFiles(client.merges.download, end.id, end.result?.files ?? [], download);
  }
  reportEnd(end, { json });
}

function reportSending(json: boolean): SendReport {
  return {
    progress: json ? () => {} : showTransfer,
    sent: (kind, reference, { id, how }) => {
      endTransfer();
      if (json) console.log(JSON.stringify({ event: how, kind, reference, id }));
      else console.error(`${how.padEnd(11)} ${id}  ${reference}`);
    },
  };
}
