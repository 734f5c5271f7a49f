import { answers } from './answers.ts';
import type { Framing, FuzzCase, HeaderPair } from './fuzz-case.ts';
import { headerKinds } from './header-kinds.ts';
import type { Random } from './random.ts';

const methods = [
  ...(['GET', 'GET', 'GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const),
  ...(['TRACE', 'PROPFIND', 'M-SEARCH', 'get', 'Post', 'QUERY', 'BREW', 'A!#$&', 'PURGE'] as const),
] as const;

const starts = ['', '', '', '/api', '/api/v1', '/apis/apps/v1', '/api/v1/namespaces/default'] as const;

const segments = [
  ...([
    'pods',
    'x',
    'a%2Fb',
    'a%2fb',
    '%25',
    '%2525',
    '%C3%A9',
    '%c3%a9',
    'a;b=c',
    ';',
    'a+b',
    '*',
    '~h',
  ] as const),
  ...([
    '%20',
    '%41',
    "!$&'()",
    ',',
    '=',
    ':',
    '@',
    'x:y',
    '...',
    '.x',
    'x.',
    '%3F',
    '%3f',
    '%23',
    '%2B',
  ] as const),
  ...([
    '.',
    '..',
    '%2e',
    '%2E%2e',
    '.%2E',
    '..%2f..',
    '',
    '%zz',
    '%',
    '%4',
    '%00',
    '%0a',
    '%5c',
    '%ff',
  ] as const),
  ...([
    '\xe9',
    'a|b',
    'a"b',
    '<x>',
    '[1]',
    '{}',
    '^',
    '`',
    '\\',
    'watch',
    'proxy',
    'log',
    'exec',
    'PODS',
  ] as const),
  ...(['%E2%82%AC', '%2d', '%7E', '..;', 'a..b', '%2e%2e%2e'] as const),
] as const;

const parameters = [
  ...([
    'a=1',
    'a=2',
    'b=2',
    'c',
    'd=',
    '=',
    '=v',
    '',
    '%zz',
    ';',
    'a=1;b=2',
    '+',
    '%20=%2B+',
    'a=b=c',
    '?',
  ] as const),
  ...([
    'dryRun=All',
    '__dryRun=All',
    'dryRun=',
    'watch=true',
    'watch=0',
    'watch=false',
    'timeoutSeconds=5',
  ] as const),
  ...([
    'timeout=1s',
    'timeout=x',
    'fieldSelector=metadata.name%3Dx',
    'labelSelector=a%3Db',
    'limit=1',
  ] as const),
  ...([
    'impersonate=false',
    'pretty=1',
    'a=%C3%A9',
    'a=%ff',
    'a=\xe9',
    '/',
    '//',
    '../..',
    'a[]=1',
    '%00',
    '%2e',
  ] as const),
  ...(['{}', '"', '\\', 'a|b', 'watch=true&watch=false', 'resourceVersion=0', 'follow=true', "'"] as const),
] as const;

const framings = [
  ...(['chunk-extensions', 'trailers', 'bare-lf', 'obs-fold', 'length-and-chunks', 'two-lengths'] as const),
  ...([
    'same-length-twice',
    'negative-length',
    'plus-length',
    'hex-length',
    'early-end',
    'pipelined',
  ] as const),
  ...([
    'space-before-colon',
    'two-hosts',
    'bad-chunk-size',
    'te-identity',
    'te-twice',
    'cr-in-value',
  ] as const),
] as const;

/** The next case: the same seed gives the same cases. */
export function generateCase(random: Random): FuzzCase {
  const protocol = random.oneIn(3) ? 'h2' : 'http/1.1';
  const method = random.pick(methods);
  return {
    ...{ protocol, method },
    target: random.oneIn(2) ? 'h2' : 'http/1.1',
    path: generatePath(random),
    query: generateQuery(random),
    headers: generateHeaders(random, protocol === 'h2'),
    body: generateBody(random),
    framing: protocol === 'h2' ? 'plain' : generateFraming(random),
    answer: random.below(answers.length),
  };
}

function generatePath(random: Random): string {
  let path: string = random.pick(starts);
  if (random.oneIn(80)) path += `/${'long-'.repeat(random.below(1600))}`;
  for (let left = random.below(4); left > 0; left -= 1) path += `/${random.pick(segments)}`;
  if (path === '' || random.oneIn(8)) path += '/';
  return path;
}

function generateQuery(random: Random): string | undefined {
  if (random.oneIn(3)) return undefined;
  const count = random.oneIn(40) ? 200 : random.below(5);
  return Array.from({ length: count }, () => random.pick(parameters)).join('&');
}

function generateHeaders(random: Random, isHttp2: boolean): readonly HeaderPair[] {
  const kinds = headerKinds.filter(({ http1Only }) => !(isHttp2 && http1Only === true));
  return Array.from({ length: random.below(7) }, (): HeaderPair => {
    const { names, values } = kinds[random.below(kinds.length)] ?? { names: ['x-a'], values: [''] };
    const name = names[random.below(names.length)] ?? 'x-a';
    return [isHttp2 ? name.toLowerCase() : name, values[random.below(values.length)] ?? ''];
  });
}

function generateBody(random: Random): string {
  if (random.oneIn(2)) return '';
  const sizes = [1, 2, 100, 4095, 65_535, 65_536, 65_537] as const;
  const size = random.oneIn(3) ? random.pick(sizes) : random.below(300);
  const first = random.below(256);
  return Buffer.from(Uint8Array.from({ length: size }, (_, i) => (first + i * 7) & 255)).toString('latin1');
}

function generateFraming(random: Random): Framing {
  if (random.oneIn(5)) return random.pick(framings);
  return random.oneIn(3) ? 'chunked' : 'plain';
}
