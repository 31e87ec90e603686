import { AmalgamError, Type } from '@amalgam/contracts';
import { verifySignedUrl } from '@amalgam/storage';
import { receiveUpload } from '../services/receive-upload.js';
import { sendFile } from '../services/send-file.js';
import type { Api } from '../types.js';
import { answers, nothing } from './schemas.js';

const Key = Type.Object({ '*': Type.String() });
const tags = ['objects'];

/** The file driver's signed links: whoever has one needs no key. With S3, links lead there and these are not found. */
export async function objectRoutes(app: Api): Promise<void> {
  const { parts, config } = app;
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload));

  const verify = (method: string, url: string | undefined) => {
    if (parts.store.kind !== 'file') throw new AmalgamError('not_found', 'objects lie in S3, with links of its own');
    return verifySignedUrl(config.secretKey.toString('hex'), method, url ?? '');
  };

  app.route({
    method: ['GET', 'HEAD'],
    url: '/objects/*',
    schema: {
      operationId: 'getObject',
      tags,
      summary: 'Download through a signed link',
      security: [],
      params: Key,
      response: answers({}, 'link_expired', 'not_found'),
    },
    handler: async (request, reply) => {
      const { key, filename } = verify(request.method, request.raw.url);
      const info = await parts.store.head(key);
      if (info === null) throw new AmalgamError('not_found', 'the object of this link is gone');
      return sendFile(request, reply, {
        path: key,
        bytes: info.bytes,
        etag: info.etag,
        ...(filename === null ? {} : { filename }),
        open: (offset, length) => parts.store.stream(key, { offset, length }),
      });
    },
  });

  app.put(
    '/objects/*',
    {
      config: { streamsBody: true },
      schema: {
        operationId: 'putObject',
        tags,
        summary: 'Upload through a signed link',
        description: 'Exactly the signed number of bytes, of any content type. Nothing is visible before the last one.',
        security: [],
        params: Key,
        response: answers(
          { 200: nothing('Stored; the ETag header names the bytes of a whole file') },
          'link_expired',
          'not_found',
          'object_exists',
          'digest_mismatch',
          'storage_full',
        ),
      },
    },
    async (request, reply) => {
      const signed = verify('PUT', request.raw.url);
      const etag = await receiveUpload(parts, signed, request.raw);
      if (etag !== null) reply.header('etag', `"${etag}"`);
      return reply.send();
    },
  );
}
