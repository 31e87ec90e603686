/**
 * JSON Schemas that are TypeScript types as well (typebox). Everybody takes them from here: the build puts the 370 modules of typebox,
 * which Node loads in a fifth of a second, in this one's place (build.mjs); each process and each thread of a merge loads them.
 */
export {
  default as Type,
  type Static,
  type TObject,
  type TProperties,
  type TSchema,
  type TUnsafe,
} from 'typebox';
