import { refused, segmentsOf } from './uri-segments.js';

/** A place of the Hugging Face hub: `hf://org/name[@revision][/path]`, a model repository or something in it. */
export interface HubReference {
  /** org/name */
  repo: string;
  /** A branch, a tag, a reference (`refs/pr/1`) or a commit; null: the default branch. */
  revision: string | null;
  /** A folder or a file in the repository, without slashes at its ends; '' is the whole of it. */
  path: string;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$/;
/** What git takes as the name of a branch, without what is special in URLs. */
const REVISION = /^[A-Za-z0-9][A-Za-z0-9._+-]*(?:\/[A-Za-z0-9][A-Za-z0-9._+-]*)*$/;
/** References whose slashes the hub's own tools take unescaped, too. */
const SPECIAL_REVISION = /^refs\/(?:pr|convert)\/[^/]+/;
const COMMIT = /^[0-9a-f]{40}$/;
const OTHER_KINDS = ['datasets', 'spaces', 'models', 'buckets', 'kernels'];

/**
 * Takes an hf:// URI apart. A slash in a revision is written %2F, but for `refs/pr/…` and `refs/convert/…`.
 * @throws uri_not_allowed naming the URI and the rule
 */
export function parseHubUri(uri: string): HubReference {
  const rest = /^hf:\/\/(.*)$/is.exec(uri)?.[1];
  if (rest === undefined) throw refused(uri, 'must begin with hf://');
  if (/[?#]/.test(rest)) throw refused(uri, 'must have no query and no fragment');
  const at = rest.indexOf('@');
  const repoAlone = at >= 0 && rest.slice(0, at).split('/').length === 2;
  const [org, name, ...below] = (repoAlone ? rest.slice(0, at) : rest).split('/');
  if (org === undefined || name === undefined || !isRepo(`${org}/${name}`)) {
    throw refused(uri, 'must be hf://org/name, with @revision and a path behind it if wanted');
  }
  if (OTHER_KINDS.includes(org)) throw refused(uri, 'must name a model repository, as hf://org/name');
  const repo = `${org}/${name}`;
  if (!repoAlone) return { repo, revision: null, path: segmentsOf(uri, below.join('/')).join('/') };

  const behind = rest.slice(at + 1);
  const end = SPECIAL_REVISION.exec(behind)?.[0].length ?? (behind.includes('/') ? behind.indexOf('/') : behind.length);
  const revision = unescaped(behind.slice(0, end));
  if (!isRevision(revision)) throw refused(uri, 'must have the name of a branch, a tag or a commit behind the @');
  return { repo, revision, path: segmentsOf(uri, behind.slice(end + 1)).join('/') };
}

/** The repository that a URI stands for as a whole; null: it is no hf:// one, or a part of a repository. */
export function hubRepository(uri: string): { repo: string; revision: string | null } | null {
  if (!/^hf:/i.test(uri)) return null;
  const { repo, revision, path } = parseHubUri(uri);
  return path === '' ? { repo, revision } : null;
}

/** The URI that `parseHubUri` reads. */
export function hubUri({ repo, revision, path }: HubReference): string {
  const at = revision === null ? '' : `@${encodeURIComponent(revision)}`;
  return `hf://${repo}${at}${path === '' ? '' : `/${path}`}`;
}

/**
 * What mergekit's recipes write for a model of the hub, `org/name` or `org/name@revision`, also as hf://, or null when the text is
 * something else.
 */
export function readHubName(text: string): HubReference | null {
  const [repo = '', revision, ...more] = text.split('@');
  if (!isRepo(repo) || more.length > 0 || (revision !== undefined && !isRevision(revision))) return null;
  return { repo, revision: revision ?? null, path: '' };
}

/** The revision is a commit, so what it stands for never changes. */
export function isCommit(revision: string | null): revision is string {
  return revision !== null && COMMIT.test(revision);
}

/** org/name by the hub's rules for names. */
export function isRepo(text: string): boolean {
  const parts = text.split('/');
  const hasGoodNames = parts.every((part) => NAME.test(part) && !/\.\.|--|[.-]$/.test(part) && !part.endsWith('.git'));
  return parts.length === 2 && hasGoodNames;
}

function isRevision(text: string): boolean {
  return text.length <= 255 && REVISION.test(text) && !/\.\.|\.$|\.lock$|\.\/|\/\./.test(text);
}

function unescaped(text: string): string {
  return text.replace(/%2f/gi, '/');
}
