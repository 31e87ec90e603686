import { CreateBucketCommand, HeadBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { factsOf, isStatus, s3Error } from './s3-errors.js';

const CONNECT_TIMEOUT_MS = 5_000;
/** Silence on a connection. Completing a large multipart upload keeps some servers quiet for minutes. */
const IDLE_TIMEOUT_MS = 300_000;
const MAX_ATTEMPTS = 5;
const MAX_SOCKETS = 64;

/** How to reach an S3 service. */
export interface S3Connection {
  /** Default: AWS, by region. */
  endpoint?: string;
  region: string;
  /** Default, when either is missing: the SDK's chain (environment, profile, instance role). */
  accessKeyId?: string;
  secretAccessKey?: string;
}

export interface S3Options extends S3Connection {
  bucket: string;
  /** Folder of the bucket that is the whole store; default: the bucket. */
  prefix?: string;
  /** The endpoint in signed links, when clients reach the service by another name; default: `endpoint`. */
  publicEndpoint?: string;
}

export function s3Client(options: S3Connection): S3Client {
  const { endpoint, region, accessKeyId, secretAccessKey } = options;
  return new S3Client({
    region,
    // Path style and no checksums beyond the required ones: what servers other than AWS understand as well.
    forcePathStyle: true,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    maxAttempts: MAX_ATTEMPTS,
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      socketTimeout: IDLE_TIMEOUT_MS,
      httpAgent: { keepAlive: true, maxSockets: MAX_SOCKETS },
      httpsAgent: { keepAlive: true, maxSockets: MAX_SOCKETS },
    },
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(accessKeyId === undefined || secretAccessKey === undefined
      ? {}
      : { credentials: { accessKeyId, secretAccessKey } }),
  });
}

/**
 * Makes the bucket unless it is there; for tests and for a fresh compose stack.
 * @throws storage_error
 */
export async function createBucketIfMissing(options: S3Connection & { bucket: string }): Promise<void> {
  const { bucket, region } = options;
  const client = s3Client(options);
  try {
    await client.send(new HeadBucketCommand({ Bucket: bucket }));
  } catch (error) {
    if (!isStatus(error, 404)) throw s3Error(error, { bucket, key: '' });
    await create(client, bucket, options.endpoint === undefined && region !== 'us-east-1' ? region : undefined);
  } finally {
    client.destroy();
  }
}

async function create(client: S3Client, bucket: string, region: string | undefined): Promise<void> {
  try {
    await client.send(
      new CreateBucketCommand({
        Bucket: bucket,
        // AWS wants the region named everywhere but in us-east-1; other servers often refuse it.
        ...(region === undefined ? {} : { CreateBucketConfiguration: { LocationConstraint: region as 'eu-west-1' } }),
      }),
    );
  } catch (error) {
    const { name } = factsOf(error);
    if (name !== 'BucketAlreadyOwnedByYou' && name !== 'BucketAlreadyExists') throw s3Error(error, { bucket, key: '' });
  }
}
