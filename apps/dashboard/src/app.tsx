import type { Session } from '@amalgam/contracts';
import { lazy, Suspense, useCallback, useEffect, useMemo, useState } from 'react';
import { client, isSignedOut, type Trouble, toTrouble } from './api.js';
import { kindOf } from './assets/kinds.js';
import { FeedStateNote } from './live/feed-state.js';
import { feed } from './live/use-feed.js';
import { MergePage } from './pages/merge.js';
import { MergesPage } from './pages/merges.js';
import { MethodPage } from './pages/method.js';
import { MethodsPage } from './pages/methods.js';
import { OverviewPage } from './pages/overview.js';
import { SignInPage } from './pages/sign-in.js';
import { Empty, Loading, TroubleNote } from './parts/notes.js';
import { PageBoundary } from './parts/page-boundary.js';
import { hrefOf, type Route, useRoute } from './router.js';
import { SessionContext, useSession } from './session.js';

// Not needed by whoever only watches.
const Assets = lazy(() => import('./assets/index.js'));
const ComparePage = lazy(() => import('./pages/compare.js'));
const NewMergePage = lazy(() => import('./pages/new-merge.js'));
const WebhooksPage = lazy(() => import('./webhooks/page.js'));
const KeysPage = lazy(() => import('./keys/page.js'));

const PLACES = [
  ['Overview', ''],
  ['Merges', 'merges'],
  ['New merge', 'new'],
  ['Checkpoints', 'checkpoints'],
  ['Graphs', 'graphs'],
  ['Datasets', 'datasets'],
  ['Methods', 'methods'],
  ['Webhooks', 'webhooks'],
  ['Keys', 'keys'],
] as const;

export function App() {
  const [session, setSession] = useState<Session | null | undefined>(undefined);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const onSignedOut = useCallback(() => setSession(null), []);

  useEffect(() => {
    client.session.get().then(setSession, (error: unknown) => {
      if (isSignedOut(error)) setSession(null);
      else setTrouble(toTrouble(error));
    });
  }, []);

  const signedIn = useMemo(() => (session ? { session, onSignedOut } : null), [session, onSignedOut]);
  if (trouble !== null) {
    return (
      <main className="page">
        <TroubleNote trouble={trouble} />
      </main>
    );
  }
  if (session === undefined) {
    return (
      <main className="page">
        <Loading />
      </main>
    );
  }
  if (signedIn === null) return <SignInPage onSignedIn={setSession} />;
  return (
    <SessionContext value={signedIn}>
      <Frame />
    </SessionContext>
  );
}

function Frame() {
  const route = useRoute();
  const { onSignedOut } = useSession();
  const [place = ''] = route.path;
  useEffect(() => feed.start(onSignedOut), [onSignedOut]);
  const signOut = async () => {
    await client.session.end();
    // Also forgets everything that was shown.
    location.reload();
  };
  return (
    <>
      <button type="button" className="skip" onClick={() => document.getElementById('main')?.focus()}>
        Skip to the content
      </button>
      <header className="top">
        <a className="brand" href={hrefOf([])}>
          Amalgam
        </a>
        <nav aria-label="Main">
          {PLACES.map(([title, path]) => (
            <a key={path} href={hrefOf(path === '' ? [] : [path])} aria-current={place === path ? 'page' : undefined}>
              {title}
            </a>
          ))}
        </nav>
        <div className="top-end">
          <FeedStateNote />
          <a href="/docs/">API</a>
          <button type="button" onClick={signOut}>
            Sign out
          </button>
        </div>
      </header>
      <main className="page" id="main" tabIndex={-1}>
        <PageBoundary key={place}>
          <Suspense fallback={<Loading />}>
            <Page route={route} />
          </Suspense>
        </PageBoundary>
      </main>
    </>
  );
}

function Page({ route: { path, query } }: { route: Route }) {
  const [place, id] = path;
  useEffect(() => {
    document.title = [...path.map((part) => part[0]?.toUpperCase() + part.slice(1)), 'Amalgam'].join(' · ');
  }, [path]);
  if (path.length > 2) return <Nowhere />;
  const kind = kindOf(place ?? '');
  if (kind !== undefined) return <Assets kind={kind} id={id} query={query} />;
  if (place === undefined) return <OverviewPage />;
  if (place === 'merges') return id === undefined ? <MergesPage query={query} /> : <MergePage key={id} id={id} />;
  if (place === 'compare' && id === undefined) return <ComparePage query={query} />;
  if (place === 'new' && id === undefined) return <NewMergePage query={query} />;
  if (place === 'webhooks') return <WebhooksPage id={id} query={query} />;
  if (place === 'keys' && id === undefined) return <KeysPage />;
  if (place === 'methods') return id === undefined ? <MethodsPage /> : <MethodPage key={id} name={id} />;
  return <Nowhere />;
}

function Nowhere() {
  return (
    <Empty>
      There is nothing here. <a href={hrefOf([])}>To the overview</a>
    </Empty>
  );
}
