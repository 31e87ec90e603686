import type { Checkpoint } from '@amalgam/contracts';
import { Empty, Loading, TroubleNote } from '../parts/notes.js';
import { Scroll, Section } from '../parts/section.js';
import { useLive } from '../use-live.js';
import { fileUrl } from './kinds.js';

const NAMES = ['config.json', 'adapter_config.json'];
/** Larger ones are to be downloaded: nobody reads them here. */
const MOST_BYTES = 1 << 20;

/** What the model's configuration says, as it is in its file; nothing where there is none. */
export function Config({ checkpoint }: { checkpoint: Checkpoint }) {
  const file = checkpoint.files.find(({ path }) => NAMES.includes(path));
  if (file === undefined) return null;
  return (
    <Section title="Configuration" aside={<code>{file.path}</code>}>
      {file.bytes > MOST_BYTES ? (
        <Empty>Too long to show; it is among the files.</Empty>
      ) : (
        <Text url={fileUrl(checkpoint, file.path)} />
      )}
    </Section>
  );
}

function Text({ url }: { url: string }) {
  const { data, trouble } = useLive(
    url,
    async (signal) => {
      const response = await fetch(url, { signal });
      if (!response.ok) throw new Error(`the file could not be read: ${response.status} ${response.statusText}`);
      return response.text();
    },
    0,
  );
  if (data === undefined) return trouble === null ? <Loading /> : <TroubleNote trouble={trouble} />;
  return (
    <Scroll label="Configuration" tall>
      <pre>{data}</pre>
    </Scroll>
  );
}
