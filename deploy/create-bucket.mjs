// Makes the bucket that the settings name, when it is not there; waits for the S3 server to come up. Runs in the api's
// image, where packages resolve.
import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig } from '@amalgam/runtime';
import { createBucketIfMissing } from '@amalgam/storage';

const PATIENCE_MS = 60_000;
const PAUSE_MS = 1000;

const { s3 } = loadConfig();
if (s3 === null) {
  console.log('S3_BUCKET is not set: no bucket to create');
} else {
  for (const end = Date.now() + PATIENCE_MS; ; ) {
    try {
      await createBucketIfMissing(s3);
      console.log(`bucket ${s3.bucket} is there`);
      break;
    } catch (error) {
      if (Date.now() > end) throw error;
      console.log(`not yet: ${error.message}`);
      await sleep(PAUSE_MS);
    }
  }
}
