import type { HeaderLines } from '../base/header-lines.ts';
import { expect, test } from 'vitest';
import { startHttp2, startHttps } from './testing/servers.ts';
import { get, textOf, transportTo } from './testing/transports.ts';

test('answers before the final one are told, over HTTP/2', async () => {
  const { server, address } = await startHttp2();
  server.on('stream', (stream) => {
    stream.additionalHeaders({ ':status': 102 });
    stream.additionalHeaders({ ':status': 100 });
    stream.additionalHeaders({ ':status': 103, link: ['</a>', '</b>'] });
    stream.respond({ ':status': 200 });
    stream.end('ok');
  });
  const seen: [number, HeaderLines][] = [];
  const transport = await transportTo(address);
  const onInformation = (status: number, headers: HeaderLines) => seen.push([status, headers]);
  expect(await textOf(await transport.request(get('/', { onInformation })))).toBe('ok');
  const withoutDate = seen.map(([status, lines]) => [status, lines.filter((line) => line.includes('/'))]);
  expect(withoutDate).toEqual([
    [102, []],
    [103, ['</a>', '</b>']],
  ]);
});

test('answers before the final one are told, over HTTP/1.1', async () => {
  const { server, address } = await startHttps();
  server.on('request', (_, response) => {
    response.writeProcessing();
    response.writeContinue();
    response.writeEarlyHints({ link: ['</a>', '</b>'] });
    response.end('ok');
  });
  const seen: [number, HeaderLines][] = [];
  const transport = await transportTo(address);
  const onInformation = (status: number, headers: HeaderLines) => seen.push([status, headers]);
  expect(await textOf(await transport.request(get('/', { onInformation })))).toBe('ok');
  expect(seen).toEqual([
    [102, []],
    [103, ['Link', '</a>, </b>']],
  ]);
});
