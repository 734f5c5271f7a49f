import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { Registry } from 'prom-client';
import { afterEach, expect, test } from 'vitest';
import { silentLog } from '../base/log.ts';
import { FlagsEnd } from './flag-set.ts';
import { parseGatewayFlags } from './gateway-flags.ts';
import { issuePortMaterial, materialDirectory } from './testing/tunnel-material.ts';
import { callAsAgent, grpcOver, tlsTo } from './testing/tunnel-peers.ts';
import { createGatewayTunnel } from './tunnel-transports.ts';
import type { GatewayTunnel } from './tunnel-transports.ts';

const files = ['--tunnel-agent-ca-cert=ca', '--tunnel-agent-cert=crt', '--tunnel-agent-key=key'];

test('the flags of a tunnel server inside the gateway', () => {
  expect(parseGatewayFlags(['--tunnel-agent-port=8091', ...files]).tunnel).toEqual({
    mode: 'grpc',
    allowUnverified: false,
    server: {
      ...{ type: 'inside', host: '0.0.0.0', port: 8091, identifierRule: 'any', serverCount: 1 },
      certificates: { clientCaFile: 'ca', certificateFile: 'crt', keyFile: 'key' },
    },
  });
});

test.each([
  [['--tunnel-agent-port=8091'], /needs --tunnel-agent-ca-cert/],
  [['--tunnel-agent-port=8091', ...files.slice(1)], /needs --tunnel-agent-ca-cert/],
  [files, /go with --tunnel-agent-port/],
  [['--tunnel-agent-port=8091', ...files, '--proxy-uds=/run/x.sock'], /exclude each other/],
  [['--tunnel-agent-port=0', ...files], /tunnel-agent-port/],
  [['--tunnel-agent-port=8091', ...files, '--tunnel-agent-identifiers=some'], /any or certificate/],
])('%j is refused', (argv, message) => {
  expect(() => parseGatewayFlags(argv)).toThrow(message);
  expect(() => parseGatewayFlags(argv)).toThrow(FlagsEnd);
});

const opened: { tunnel?: GatewayTunnel; remove?: () => void } = {};
afterEach(() => {
  opened.tunnel?.destroy();
  opened.remove?.();
});

test('the gateway dials through agents that are connected to itself, and counts them among its metrics', async () => {
  const material = await issuePortMaterial('agent');
  const directory = materialDirectory();
  opened.remove = directory.remove;
  const metrics = new Registry();
  const port = await freePort();
  const tunnel = await createGatewayTunnel(
    {
      ...{ mode: 'grpc', allowUnverified: false },
      server: {
        ...{ type: 'inside', host: '127.0.0.1', port, identifierRule: 'any', serverCount: 2 },
        certificates: { ...directory.write('agent', material), clientCaFile: directory.path('agent-ca.crt') },
      },
    },
    { userAgent: 'test', metrics, log: silentLog },
  );
  opened.tunnel = tunnel;
  const connection = await grpcOver(await tlsTo({ port, ca: material.ca, client: material.client }));
  const agent = await callAsAgent(connection, { identifiers: 'host=edge-1' });
  expect(agent.metadata).toEqual(expect.arrayContaining(['servercount', '2']));
  const dialled = tunnel.dial({ host: 'edge-1', port: 443 }, AbortSignal.timeout(5_000));
  const { address, dialId } = await agent.next('DIAL_REQ');
  expect(address).toBe('edge-1:443');
  agent.stream.send({ type: 'DIAL_RSP', error: '', connectId: 1, dialId });
  // The agent goes with the test.
  (await dialled).on('error', () => undefined).write('hello');
  expect((await agent.next('DATA')).data.toString()).toBe('hello');
  expect(await metrics.metrics()).toContain('konnectivity_network_proxy_server_established_connections 1\n');
  await expect(tunnel.dial({ host: 'edge-2', port: 443 }, AbortSignal.timeout(5_000))).rejects.toThrow(
    'No agent available',
  );
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
