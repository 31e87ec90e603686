import type { AssetKind } from '@amalgam/contracts';
import { type KeyboardEvent, useEffect, useState } from 'react';
import { toTrouble } from '../api.js';
import { type Asset, keepNames, searchAssets, useAssetName } from '../asset-names.js';
import { showBytes } from '../format.js';
import type { FieldProps } from './field.js';

/** Between the last key and the question. */
const PAUSE_MS = 150;

interface AssetPickerProps extends FieldProps {
  kind: AssetKind;
  /** An id, or empty. */
  value: string;
  onChange(id: string): void;
  placeholder?: string;
}

/** Finds a checkpoint, graph or dataset by a part of its name, or by its id: a combobox as the ARIA practices have it. */
export function AssetPicker({ kind, value, onChange, placeholder, id, ...described }: AssetPickerProps) {
  const name = useAssetName(kind, value);
  const [typed, setTyped] = useState<string | null>(null);
  const [found, setFound] = useState<readonly Asset[] | null>(null);
  const [why, setWhy] = useState<string | null>(null);
  const [active, setActive] = useState(0);
  const open = typed !== null;
  const listId = `${id}-list`;

  useEffect(() => {
    if (typed === null) return;
    let current = true;
    const timer = setTimeout(() => {
      searchAssets(kind, typed).then(
        (assets) => {
          if (!current) return;
          keepNames(assets);
          setFound(assets);
          setWhy(null);
          setActive(0);
        },
        (error: unknown) => {
          if (!current) return;
          setFound([]);
          setWhy(toTrouble(error).detail);
        },
      );
    }, PAUSE_MS);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [kind, typed]);

  const close = () => {
    setTyped(null);
    setFound(null);
  };
  const choose = (asset: Asset | undefined) => {
    if (asset === undefined) return;
    onChange(asset.id);
    close();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const count = found?.length ?? 0;
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      if (!open) setTyped('');
      else if (count > 0) setActive((now) => (now + (event.key === 'ArrowDown' ? 1 : count - 1)) % count);
    } else if (event.key === 'Enter' && open) {
      event.preventDefault();
      choose(found?.[active]);
    } else if (event.key === 'Escape' && open) {
      event.preventDefault();
      close();
    }
  };

  return (
    <div className="picker">
      <input
        {...described}
        id={id}
        type="text"
        role="combobox"
        autoComplete="off"
        spellCheck={false}
        aria-expanded={open}
        aria-controls={listId}
        aria-autocomplete="list"
        aria-activedescendant={open && (found?.length ?? 0) > 0 ? `${listId}-${active}` : undefined}
        placeholder={placeholder ?? 'Search by name'}
        value={typed ?? name}
        onFocus={(event) => event.currentTarget.select()}
        onClick={() => setTyped((now) => now ?? '')}
        onChange={(event) => setTyped(event.target.value)}
        onKeyDown={onKeyDown}
        onBlur={close}
      />
      {value === '' ? null : (
        <button type="button" className="picker-clear" aria-label={`Take out ${name}`} onClick={() => onChange('')}>
          ×
        </button>
      )}
      {/* Always there, for the combobox names it. */}
      <div className="picker-list" id={listId} role="listbox" aria-label={`${kind}s`} hidden={!open}>
        {found?.map((asset, i) => (
          <div
            key={asset.id}
            id={`${listId}-${i}`}
            role="option"
            tabIndex={-1}
            aria-selected={i === active}
            // Before the field loses the focus, which closes the list.
            onMouseDown={(event) => {
              event.preventDefault();
              choose(asset);
            }}
          >
            <span>{asset.name}</span>{' '}
            <span className="dim">
              {asset.id} · {showBytes(asset.bytes)}
            </span>
          </div>
        ))}
      </div>
      {open && found?.length === 0 ? (
        <div className="picker-list picker-none" role="status">
          {why ??
            (typed?.trim() === ''
              ? `No ${kind} is here yet: upload or register one first.`
              : `No ${kind} has this in its name.`)}
        </div>
      ) : null}
    </div>
  );
}
