import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import fp from 'fastify-plugin';
import { finishDocument, withCommonAnswers } from '../services/openapi-document.js';
import type { Api } from '../types.js';

/** The OpenAPI document, from the routes' own schemas, and a page to browse it. Registered before the routes. */
async function openapi(app: Api): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Amalgam',
        version: '1.0.0',
        description:
          'Merges stored model checkpoints. Errors are problem+json (RFC 9457) with a stable `code`. Lists are pages: pass ' +
          '`next_cursor` as `after`. Every answer has an `x-request-id`.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: '/' }],
      tags: [
        { name: 'checkpoints', description: 'Named tensors, stored: what is merged, and what comes of it' },
        { name: 'graphs', description: 'ONNX models of forward passes, for methods that learn and for evaluation' },
        { name: 'datasets', description: 'Samples that graphs are fed with' },
        { name: 'merges', description: 'Recipes being carried out' },
        { name: 'events', description: 'What happens in a project, in one order' },
        { name: 'methods', description: 'How checkpoints can be merged' },
        { name: 'webhooks', description: 'Where events are sent, and what came of it' },
        { name: 'keys', description: 'API keys; these calls need a key with the scope *' },
        { name: 'session', description: 'Signing in, for browsers: a cookie that stands for an API key' },
        { name: 'queue', description: 'Jobs and workers' },
        { name: 'objects', description: 'Signed links of the file store' },
        { name: 'health', description: 'For whoever runs the service' },
      ],
      components: {
        securitySchemes: { key: { type: 'http', scheme: 'bearer', description: 'An API key: amk_…' } },
      },
      security: [{ key: [] }],
    },
    transform: ({ schema, url }) => ({ schema: withCommonAnswers(schema), url }),
    transformObject: (document) => {
      if (!('openapiObject' in document)) return {};
      return finishDocument(document.openapiObject);
    },
  });
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    uiConfig: { deepLinking: true, persistAuthorization: false },
    // Its own files only: nothing is fetched from elsewhere, and the document is the one at /openapi.json.
    staticCSP: {
      'default-src': "'self'",
      'img-src': ["'self'", 'data:'],
      'style-src': ["'self'", "'unsafe-inline'"],
      'object-src': "'none'",
      'frame-ancestors': "'none'",
      'base-uri': "'none'",
    },
  });
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger());
}

export default fp(openapi, { name: 'openapi' });
