import { BlockList, isIPv4, isIPv6 } from 'node:net';

/** What is not the public internet, by the IANA special-purpose registries, and the name users read. */
const BLOCKED_V4: [range: string, rule: string][] = [
  ['0.0.0.0/8', 'an unspecified address'],
  ['10.0.0.0/8', 'a private address'],
  ['100.64.0.0/10', 'a carrier-grade NAT address'],
  ['127.0.0.0/8', 'a loopback address'],
  // Azure's metadata and DNS server has a public-looking address; the other clouds use link-local ones.
  ['168.63.129.16/32', 'a cloud metadata address'],
  ['169.254.0.0/16', 'a link-local address'],
  ['172.16.0.0/12', 'a private address'],
  ['192.0.0.0/24', 'a reserved address'],
  ['192.0.2.0/24', 'a documentation address'],
  ['192.88.99.0/24', 'a 6to4 relay address'],
  ['192.168.0.0/16', 'a private address'],
  ['198.18.0.0/15', 'a benchmarking address'],
  ['198.51.100.0/24', 'a documentation address'],
  ['203.0.113.0/24', 'a documentation address'],
  ['224.0.0.0/4', 'a multicast address'],
  ['240.0.0.0/4', 'a reserved address'],
];

/** Ranges that embed an IPv4 address are blocked whole: behind them may be any of the above. */
const BLOCKED_V6: [range: string, rule: string][] = [
  ['::/128', 'an unspecified address'],
  ['::1/128', 'a loopback address'],
  ['::/96', 'an IPv4-compatible address'],
  ['::ffff:0:0/96', 'an IPv4-mapped address'],
  ['64:ff9b::/96', 'a NAT64 address'],
  ['64:ff9b:1::/48', 'a NAT64 address'],
  ['2001::/23', 'a reserved address'],
  ['2001:db8::/32', 'a documentation address'],
  ['2002::/16', 'a 6to4 address'],
  ['3fff::/20', 'a documentation address'],
  ['fc00::/7', 'a private address'],
  ['fe80::/10', 'a link-local address'],
  ['fec0::/10', 'a site-local address'],
  ['ff00::/8', 'a multicast address'],
];

// Lists hold one family each: a BlockList compares IPv4 addresses with IPv6 rules as if they were mapped, so a
// rule on ::ffff:0:0/96 would match all of IPv4.
const V4 = BLOCKED_V4.map(([range, rule]) => ({ list: listOf(range), rule }));
const V6 = BLOCKED_V6.map(([range, rule]) => ({ list: listOf(range), rule }));
const GLOBAL_UNICAST = listOf('2000::/3');

/** Why an address is not public, in words that follow "is"; null when it is public. */
export function notPublic(address: string): string | null {
  const plain = withoutZone(address);
  if (isIPv4(plain)) return V4.find(({ list }) => list.check(plain, 'ipv4'))?.rule ?? null;
  if (!isIPv6(plain)) return 'not an address';
  const found = V6.find(({ list }) => list.check(plain, 'ipv6'));
  if (found !== undefined) return found.rule;
  return GLOBAL_UNICAST.check(plain, 'ipv6') ? null : 'a reserved address';
}

/** Does a CIDR or a single address hold an address of the same family? Null when `range` is neither. */
export function rangeHolds(range: string): ((address: string) => boolean) | null {
  let list: BlockList;
  try {
    list = listOf(range);
  } catch {
    return null;
  }
  const family = range.includes(':') ? 'ipv6' : 'ipv4';
  return (address) => {
    const plain = withoutZone(address);
    return (isIPv4(plain) ? 'ipv4' : 'ipv6') === family && list.check(plain, family);
  };
}

function listOf(range: string): BlockList {
  const [address = '', prefix, ...rest] = range.split('/');
  const family = isIPv4(address) ? 'ipv4' : 'ipv6';
  if (rest.length > 0 || (family === 'ipv6' && !isIPv6(address))) throw new TypeError(`not a range: ${range}`);
  if (prefix !== undefined && !/^\d{1,3}$/.test(prefix)) throw new TypeError(`not a range: ${range}`);
  const list = new BlockList();
  list.addSubnet(address, prefix === undefined ? (family === 'ipv4' ? 32 : 128) : Number(prefix), family);
  return list;
}

function withoutZone(address: string): string {
  return address.split('%', 1)[0] ?? address;
}
