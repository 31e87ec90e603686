import { isAmalgamError, type Lane } from '@amalgam/contracts';
import type { Config } from '@amalgam/runtime';
import type { Logger } from '@amalgam/telemetry';
import { chooseProvider, type Provider } from '@amalgam/tuning';

/** What merges that tune run on in this worker. */
export interface Device {
  provider: Provider;
  /** In words, for heartbeat, attempts and metrics. */
  name: string;
}

/**
 * Chooses the device, once, and says which lanes the worker can take. Without the gpu lane nothing is tried. When `auto`
 * finds nothing to tune on, the other lanes are served all the same.
 *
 * @throws AmalgamError `device_unavailable` when the device that the settings name fails, or no lane is left
 */
export async function chooseDevice(
  { lanes, device, tuningThreads: threads }: Config['worker'],
  log: Logger,
): Promise<{ device: Device; lanes: Lane[] }> {
  const cpu: Device = { provider: 'cpu', name: 'cpu' };
  if (!lanes.includes('gpu')) return { device: cpu, lanes };
  try {
    const chosen = await chooseProvider(device, log, { threads });
    return { device: { provider: chosen.provider, name: chosen.device }, lanes };
  } catch (error) {
    const others = lanes.filter((lane) => lane !== 'gpu');
    if (device !== 'auto' || others.length === 0 || !isAmalgamError(error)) throw error;
    log.warn(
      { code: error.code, detail: error.detail },
      'merges that tune are not taken: there is nothing to run them on',
    );
    return { device: cpu, lanes: others };
  }
}
