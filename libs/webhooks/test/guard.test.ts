import { AmalgamError } from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import { checkUrl, type Lookup, notPublic, PUBLIC_ONLY, type WebhookPolicy } from '../src/index.js';

const resolvesTo =
  (...addresses: string[]): Lookup =>
  async () =>
    addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
const publicHost = resolvesTo('93.184.215.14', '2606:2800:21f:cb07:6820:80da:af6b:8b2c');

async function refusal(url: string, policy: WebhookPolicy = PUBLIC_ONLY, lookup: Lookup = publicHost): Promise<string> {
  const failure: unknown = await checkUrl(url, policy, lookup).then(
    () => null,
    (error: unknown) => error,
  );
  if (failure === null) return 'allowed';
  expect(failure).toBeInstanceOf(AmalgamError);
  expect((failure as AmalgamError).code).toBe('webhook_not_allowed');
  return (failure as AmalgamError).detail;
}

describe('guard at registration', () => {
  it('allows https to a public host', async () => {
    const url = await checkUrl('https://example.com/hook?a=b', PUBLIC_ONLY, publicHost);
    expect(url.href).toBe('https://example.com/hook?a=b');
    expect(await refusal('https://8.8.8.8/')).toBe('allowed');
    expect(await refusal('https://[2606:4700:4700::1111]/')).toBe('allowed');
  });

  it('refuses other schemes, and http unless it is allowed', async () => {
    expect(await refusal('http://example.com/')).toBe('the scheme must be https, not http:');
    expect(await refusal('http://example.com/', { ...PUBLIC_ONLY, allowHttp: true })).toBe('allowed');
    for (const url of ['ftp://example.com/', 'file:///etc/passwd', 'gopher://example.com', 'javascript:alert(1)']) {
      expect(await refusal(url, { ...PUBLIC_ONLY, allowHttp: true })).toContain('the scheme must be https or http');
    }
    expect(await refusal('not a url')).toContain('cannot be parsed');
    expect(await refusal('https://')).toContain('cannot be parsed');
  });

  it('refuses credentials', async () => {
    expect(await refusal('https://user@example.com/')).toContain('user name or password');
    expect(await refusal('https://:pass@example.com/')).toContain('user name or password');
  });

  it('refuses ports that are not allowed', async () => {
    expect(await refusal('https://example.com:8443/')).toBe('the port must be 443, not 8443');
    expect(await refusal('https://example.com:443/')).toBe('allowed');
    expect(await refusal('https://example.com:22/', { ...PUBLIC_ONLY, allowedPorts: [443, 8443] })).toBe(
      'the port must be 443 or 8443, not 22',
    );
    expect(await refusal('https://example.com:8443/', { ...PUBLIC_ONLY, allowedPorts: [443, 8443] })).toBe('allowed');
  });

  it.each([
    ['127.0.0.1', 'loopback'],
    ['127.255.255.254', 'loopback'],
    ['0.0.0.0', 'unspecified'],
    ['0.1.2.3', 'unspecified'],
    ['10.0.0.1', 'private'],
    ['172.16.0.1', 'private'],
    ['172.31.255.255', 'private'],
    ['192.168.1.1', 'private'],
    ['169.254.169.254', 'link-local'],
    ['168.63.129.16', 'cloud metadata'],
    ['100.64.0.1', 'carrier-grade NAT'],
    ['100.127.255.255', 'carrier-grade NAT'],
    ['192.0.0.192', 'reserved'],
    ['198.18.0.1', 'benchmarking'],
    ['203.0.113.7', 'documentation'],
    ['224.0.0.1', 'multicast'],
    ['239.255.255.255', 'multicast'],
    ['240.0.0.1', 'reserved'],
    ['255.255.255.255', 'reserved'],
    ['::', 'unspecified'],
    ['::1', 'loopback'],
    ['::127.0.0.1', 'IPv4-compatible'],
    ['::ffff:127.0.0.1', 'IPv4-mapped'],
    ['::ffff:8.8.8.8', 'IPv4-mapped'],
    ['64:ff9b::7f00:1', 'NAT64'],
    ['64:ff9b::8.8.8.8', 'NAT64'],
    ['64:ff9b:1::1', 'NAT64'],
    ['2002:7f00:1::', '6to4'],
    ['2001::1', 'reserved'],
    ['2001:db8::1', 'documentation'],
    ['fc00::1', 'private'],
    ['fd12:3456::1', 'private'],
    ['fe80::1', 'link-local'],
    ['fe80::1%eth0', 'link-local'],
    ['febf::1', 'link-local'],
    ['fec0::1', 'site-local'],
    ['ff02::1', 'multicast'],
    ['4000::1', 'reserved'],
    ['100::1', 'reserved'],
  ])('refuses %s: %s', async (address, rule) => {
    expect(notPublic(address)).toContain(rule);
    // As what a name resolves to, also beside a public address …
    const detail = await refusal('https://example.com/', PUBLIC_ONLY, resolvesTo('93.184.215.14', address));
    expect(detail).toContain(`resolves to ${notPublic(address)}`);
    expect(detail).not.toContain(address);
    // … and written into the URL, which has no place for a zone.
    if (!address.includes('%')) {
      const host = address.includes(':') ? `[${address}]` : address;
      expect(await refusal(`https://${host}/`)).toContain(notPublic(address));
    }
  });

  it.each([
    ['8.8.8.8'],
    ['1.1.1.1'],
    ['172.15.255.255'],
    ['172.32.0.0'],
    ['100.63.255.255'],
    ['100.128.0.0'],
    ['169.253.255.255'],
    ['223.255.255.255'],
    ['2606:4700:4700::1111'],
    ['2a00:1450:4001::1'],
  ])('takes %s for public', (address) => {
    expect(notPublic(address)).toBeNull();
  });

  it.each([
    ['https://2130706433/', 'decimal'],
    ['https://0x7f000001/', 'hexadecimal'],
    ['https://0x7f.0.0.1/', 'hexadecimal part'],
    ['https://0177.0.0.1/', 'octal part'],
    ['https://017700000001/', 'octal'],
    ['https://127.1/', 'short'],
    ['https://127.0.0.1./', 'final dot'],
    ['https://１２７.０.０.１/', 'full-width digits'],
    ['https://127。0。0。1/', 'ideographic dots'],
    ['https://%31%32%37.0.0.1/', 'percent-encoded'],
    ['https://[::ffff:7f00:1]/', 'mapped'],
    ['https://[0:0:0:0:0:0:0:1]/', 'IPv6 in full'],
    ['https://0/', 'zero'],
  ])('sees through %s (%s)', async (url) => {
    expect(await refusal(url)).toMatch(/is (a loopback|an IPv4-mapped|an unspecified) address/);
  });

  it.each([
    ['localhost'],
    ['LOCALHOST'],
    ['localhost.'],
    ['app.localhost'],
    ['metadata'],
    ['metadata.google.internal'],
    ['metadata.google.internal.'],
    ['metadata.goog'],
    ['printer.local'],
    ['instance-data.ec2.internal'],
  ])('refuses the name %s without asking the DNS', async (host) => {
    let asked = false;
    const lookup: Lookup = async () => {
      asked = true;
      return [{ address: '8.8.8.8', family: 4 }];
    };
    expect(await refusal(`https://${host}/`, PUBLIC_ONLY, lookup)).toContain('is a name of this machine');
    expect(asked).toBe(false);
  });

  it('refuses what does not resolve', async () => {
    const fails: Lookup = async () => {
      throw new Error('ENOTFOUND');
    };
    expect(await refusal('https://nowhere.example/', PUBLIC_ONLY, fails)).toBe(
      'the host nowhere.example does not resolve',
    );
    expect(await refusal('https://nowhere.example/', PUBLIC_ONLY, async () => [])).toContain('does not resolve');
    // The system's own resolver.
    await expect(checkUrl('https://host.invalid/', PUBLIC_ONLY)).rejects.toMatchObject({ code: 'webhook_not_allowed' });
  });

  it('lets the operator allow addresses, ranges and names, on any port', async () => {
    const policy: WebhookPolicy = {
      allowHttp: true,
      allowedPrivate: ['127.0.0.1', '10.1.0.0/16', 'fd00::/8', 'hooks'],
    };
    expect(await refusal('http://127.0.0.1:8080/', policy)).toBe('allowed');
    expect(await refusal('http://127.0.0.2:8080/', policy)).toContain('loopback');
    expect(await refusal('http://10.1.2.3:9000/', policy)).toBe('allowed');
    expect(await refusal('http://10.2.2.3/', policy)).toContain('private');
    expect(await refusal('http://[fd00::5]:81/', policy)).toBe('allowed');
    expect(await refusal('http://[::1]/', policy)).toContain('loopback');
    expect(await refusal('http://Hooks.:3000/', policy, resolvesTo('192.168.9.9'))).toBe('allowed');
    expect(await refusal('http://other:3000/', policy, resolvesTo('192.168.9.9'))).toContain('private');
    expect(await refusal('http://example.com:3000/', policy)).toBe('the port must be 443 or 80, not 3000');
    expect(await refusal('http://mixed.example:3000/', policy, resolvesTo('10.1.1.1', '8.8.8.8'))).toContain('port');
    expect(await refusal('http://127.0.0.1:22/', { ...policy, allowedPorts: [8080] })).toContain('port');
  });

  it('does not let a range of one family open the other', async () => {
    const all4: WebhookPolicy = { allowHttp: false, allowedPrivate: ['0.0.0.0/0'] };
    expect(await refusal('https://10.0.0.1/', all4)).toBe('allowed');
    expect(await refusal('https://[::1]/', all4)).toContain('loopback');
    expect(await refusal('https://[::ffff:10.0.0.1]/', all4)).toContain('IPv4-mapped');
    const mapped: WebhookPolicy = { allowHttp: false, allowedPrivate: ['::ffff:0:0/96'] };
    expect(await refusal('https://10.0.0.1/', mapped)).toContain('private');
  });

  it('tells the operator about an entry that means nothing', async () => {
    for (const entry of ['10.0.0.0/33', '10.0.0.0/8/8', 'a b', 'http://x', '']) {
      await expect(checkUrl('https://8.8.8.8/', { allowHttp: false, allowedPrivate: [entry] })).rejects.toThrow(
        TypeError,
      );
    }
  });
});
