import { Component, type ReactNode } from 'react';

interface PageBoundaryProps {
  children: ReactNode;
}

/** Around one page: when its script cannot be had, or breaks, the rest of the dashboard stays. Another page needs another `key`. */
export class PageBoundary extends Component<PageBoundaryProps, { why: string | null }> {
  override state = { why: null };

  static getDerivedStateFromError(error: unknown) {
    return { why: error instanceof Error ? error.message : String(error) };
  }

  override render() {
    const { why } = this.state;
    if (why === null) return this.props.children;
    return (
      <div className="note bad" role="alert">
        <strong>This page could not be shown.</strong> {why}
        <p>
          After an update of the service its old pages are gone.{' '}
          <button type="button" onClick={() => location.reload()}>
            Reload
          </button>
        </p>
      </div>
    );
  }
}
