import type { Checkpoint } from '@amalgam/contracts';
import { useDeferredValue, useId, useMemo, useState } from 'react';
import { showCount } from '../../format.js';
import { Empty, Loading, TroubleNote } from '../../parts/notes.js';
import { Section } from '../../parts/section.js';
import { hrefOf } from '../../router.js';
import { KINDS } from '../kinds.js';
import { Histogram } from './histogram.js';
import { findTensors, type Order } from './sort-tensors.js';
import { TensorTable } from './tensor-table.js';
import { useTensors } from './use-tensors.js';

interface TensorsProps {
  checkpoint: Checkpoint;
  /** The tensor that is looked at; in the page's address, as the search is when the page is opened. */
  chosen: string | null;
  search: string;
}

/** A checkpoint's tensors, to search and to sort, and a histogram of the one that is chosen. */
export function Tensors({ checkpoint: { id, tensors }, chosen, search: first }: TensorsProps) {
  const { rows, done, trouble } = useTensors(id);
  const [search, setSearch] = useState(first);
  const [order, setOrder] = useState<Order>({ column: 'name', down: false });
  const wanted = useDeferredValue(search);
  const found = useMemo(() => findTensors(rows, wanted, order), [rows, wanted, order]);
  const inputId = useId();
  const place = (tensor: string) => hrefOf([KINDS.checkpoint.plural, id], { tensor, q: search });
  const aside = (
    <span className="search-box">
      <label htmlFor={inputId}>Search</label>{' '}
      <input id={inputId} type="search" value={search} onChange={(event) => setSearch(event.target.value)} />
    </span>
  );
  return (
    <Section title="Tensors" aside={aside}>
      {trouble === null ? null : <TroubleNote trouble={trouble} />}
      <p className="dim" role="status">
        {done ? '' : `${rows.length} of `}
        {done && found.length !== rows.length ? `${found.length} of ` : ''}
        {showCount(tensors, 'tensor')}
      </p>
      {chosen === null ? null : <Histogram key={chosen} checkpointId={id} tensor={chosen} closeHref={place('')} />}
      {rows.length === 0 && !done && trouble === null ? <Loading /> : null}
      {done && rows.length === 0 ? <Empty>It holds no tensors.</Empty> : null}
      {rows.length > 0 && found.length === 0 ? <Empty>No tensor’s name has that.</Empty> : null}
      {found.length === 0 ? null : (
        <TensorTable rows={found} order={order} onOrder={setOrder} chosen={chosen} place={place} />
      )}
    </Section>
  );
}
