import { AmalgamError, isAmalgamError, List, Method, Type } from '@amalgam/contracts';
import { describeMethod, getMethod, listMethods } from '@amalgam/methods';
import type { Api } from '../types.js';
import { answers } from './schemas.js';

const tags = ['methods'];

export async function methodRoutes(app: Api): Promise<void> {
  app.get(
    '/methods',
    {
      schema: {
        operationId: 'listMethods',
        tags,
        summary: 'The merging methods',
        response: answers({ 200: List(Method) }),
      },
    },
    async () => ({ data: listMethods().map(describeMethod), has_more: false, next_cursor: null }),
  );

  app.get(
    '/methods/:name',
    {
      schema: {
        operationId: 'getMethod',
        tags,
        summary: 'One method, with the JSON Schema of its parameters',
        params: Type.Object({ name: Type.String() }),
        response: answers({ 200: Method }, 'not_found'),
      },
    },
    async (request) => {
      try {
        return describeMethod(getMethod(request.params.name));
      } catch (error) {
        // In a recipe an unknown method is a mistake; here it is something that is not there.
        throw isAmalgamError(error) ? new AmalgamError('not_found', error.detail) : error;
      }
    },
  );
}
