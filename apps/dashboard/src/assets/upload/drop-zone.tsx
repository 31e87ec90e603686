import { type DragEvent, useEffect, useId, useState } from 'react';
import { fromDrop, fromInput, type Picked } from './picked.js';

/** Where files and folders are dropped, or chosen with the keyboard. */
export function DropZone({ label, onPicked }: { label: string; onPicked(picked: Picked[]): void }) {
  const filesId = useId();
  const folderId = useId();
  const [over, setOver] = useState(false);

  // What is dropped beside it must not take the browser to another page.
  useEffect(() => {
    const refuse = (event: Event) => event.preventDefault();
    addEventListener('dragover', refuse);
    addEventListener('drop', refuse);
    return () => {
      removeEventListener('dragover', refuse);
      removeEventListener('drop', refuse);
    };
  }, []);

  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    void fromDrop(event.dataTransfer).then(onPicked);
  };
  const input = (id: string, folder: boolean) => (
    <input
      id={id}
      type="file"
      multiple
      className="unseen"
      // React does not know this one by its own name.
      {...(folder ? { webkitdirectory: '' } : {})}
      onChange={(event) => {
        onPicked(fromInput(event.target.files));
        event.target.value = ''; // the same ones may be chosen again
      }}
    />
  );
  return (
    <fieldset
      className={over ? 'drop over' : 'drop'}
      onDragOver={() => setOver(true)}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <legend className="unseen">{label}</legend>
      <p>{label}</p>
      <p className="drop-choices">
        {input(filesId, false)}
        <label className="button" htmlFor={filesId}>
          Choose files
        </label>
        {input(folderId, true)}
        <label className="button" htmlFor={folderId}>
          Choose a folder
        </label>
      </p>
    </fieldset>
  );
}
