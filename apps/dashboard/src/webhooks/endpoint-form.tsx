import { DEFAULT_ENDPOINT_EVENTS, ENDPOINT_EVENT_TYPES, type EndpointEventType } from '@amalgam/contracts';
import { type FormEvent, useId, useState } from 'react';
import { TroubleNote } from '../parts/notes.js';
import { useAct } from '../use-act.js';

/** What an endpoint's owner decides. */
export interface EndpointFields {
  url: string;
  description: string;
  events: EndpointEventType[];
}

export const NEW_ENDPOINT: EndpointFields = { url: '', description: '', events: DEFAULT_ENDPOINT_EVENTS };

/** URL, description and events of an endpoint that is made or changed. */
export function EndpointForm({
  start,
  save,
  onSave,
  onCancel,
}: {
  start: EndpointFields;
  /** On the button. */
  save: string;
  onSave(fields: EndpointFields): Promise<void>;
  onCancel(): void;
}) {
  const id = useId();
  const [fields, setFields] = useState(start);
  const { busy, trouble, act } = useAct();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void act(() => onSave(fields));
  };
  const toggle = (type: EndpointEventType, on: boolean) =>
    setFields({
      ...fields,
      events: ENDPOINT_EVENT_TYPES.filter((one) => (one === type ? on : fields.events.includes(one))),
    });
  return (
    <form className="form" onSubmit={submit}>
      <label htmlFor={`${id}-url`}>URL</label>
      <input
        id={`${id}-url`}
        type="url"
        required
        maxLength={2048}
        placeholder="https://example.com/hooks/merges"
        value={fields.url}
        onChange={(event) => setFields({ ...fields, url: event.target.value })}
      />
      <label htmlFor={`${id}-description`}>
        Description <span className="dim">(optional)</span>
      </label>
      <input
        id={`${id}-description`}
        maxLength={500}
        value={fields.description}
        onChange={(event) => setFields({ ...fields, description: event.target.value })}
      />
      <fieldset className="choices">
        <legend>Events</legend>
        {ENDPOINT_EVENT_TYPES.map((type) => (
          <label key={type}>
            <input
              type="checkbox"
              checked={fields.events.includes(type)}
              onChange={(event) => toggle(type, event.target.checked)}
            />{' '}
            <code>{type}</code>
          </label>
        ))}
      </fieldset>
      {trouble === null ? null : <TroubleNote trouble={trouble} />}
      <div className="actions start">
        <button type="submit" className="primary" disabled={busy || fields.events.length === 0}>
          {save}
        </button>
        <button type="button" onClick={onCancel}>
          Cancel
        </button>
      </div>
    </form>
  );
}
