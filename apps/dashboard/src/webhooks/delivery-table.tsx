import type { Delivery } from '@amalgam/contracts';
import type { ReactNode } from 'react';
import { ScrollTable } from '../parts/scroll-table.js';
import { Time } from '../parts/time.js';
import { DeliveryBadge } from './badges.js';

/** Deliveries, one a row; `titleOf` is what opens one. */
export function DeliveryTable({
  deliveries,
  titleOf,
}: {
  deliveries: readonly Delivery[];
  titleOf(delivery: Delivery): ReactNode;
}) {
  return (
    <ScrollTable label="Deliveries" columns={['Event', 'State', 'Answer', 'Tries', 'Created', 'Next try']}>
      {deliveries.map((delivery) => (
        <tr key={delivery.id}>
          <th scope="row">{titleOf(delivery)}</th>
          <Cells delivery={delivery} />
        </tr>
      ))}
    </ScrollTable>
  );
}

function Cells({ delivery }: { delivery: Delivery }) {
  const { state, last_status, last_error, attempts, created_at, next_attempt_at } = delivery;
  return (
    <>
      <td>
        <DeliveryBadge state={state} />
      </td>
      <td className="answer">{last_error ?? last_status ?? <span className="dim">none yet</span>}</td>
      <td>{attempts}</td>
      <td>
        <Time at={created_at} />
      </td>
      <td>{next_attempt_at === null ? <span className="dim">–</span> : <Time at={next_attempt_at} />}</td>
    </>
  );
}
