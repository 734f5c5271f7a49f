import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { silentLog } from '../base/log.ts';
import { clusterFromSecret } from '../clusters/secret-cluster.ts';
import type { Cluster } from '../clusters/cluster.ts';
import { createCredentialResolver } from '../clusters/credential.ts';
import { secretFrom } from '../clusters/secret.ts';
import { secret, tokenLabels } from '../clusters/testing/secrets-hub.ts';
import { testPki } from '../net/testing/certificates.ts';
import { listen, onTestEnd } from '../net/testing/servers.ts';
import { failureOf } from '../net/testing/streams.ts';
import { get, textOf } from '../net/testing/transports.ts';
import { issueCertificate } from '../pki/issue.ts';
import { agentTo } from '../tunnel/testing/frontend-call.ts';
import { startFrontendServer } from '../tunnel/testing/frontend-server.ts';
import { createEndpointTransports, createGatewayTunnel } from './tunnel-transports.ts';

function clusterNamed(name: string, data: Record<string, string>, type = 'ClusterProxy'): Cluster {
  const labels = { ...tokenLabels, 'cluster.core.oam.dev/cluster-endpoint-type': type };
  const record = clusterFromSecret(secretFrom(secret(name, '1', { labels, data: { token: 't', ...data } })), {
    ...{ requireCa: false, execPluginAllowlist: [], tunnel: { allowUnverified: false } },
  });
  if (record.type === 'rejected') throw new Error(record.message);
  return record;
}

/** A gateway's tunnel to a server whose one agent leads to an API server. */
async function start() {
  const { ca, server, client } = await testPki();
  const clusterCa = await issueCertificate({ commonName: 'cluster-ca', ca: true });
  const identity = await issueCertificate(
    { commonName: 'apiserver', usages: ['serverAuth'], dnsNames: ['kubernetes.default.svc'] },
    { issuer: clusterCa },
  );
  const options = { key: identity.privateKeyPem, cert: identity.certificatePem };
  const api = await listen(
    createServer(options, (request, response) => {
      response.end(`${request.headers.host ?? ''} ${request.url ?? ''}`);
    }),
  );
  const frontend = await startFrontendServer({
    onDial: agentTo(() => api.address.port),
    tls: {
      ...{ certificatePem: server.certificatePem, privateKeyPem: server.privateKeyPem },
      ...{ clientCaPem: ca.certificatePem, minVersion: 'TLSv1.2', cipherSuites: [] },
    },
  });
  const directory = await mkdtemp(join(tmpdir(), 'tunnel-'));
  onTestEnd(() => rm(directory, { recursive: true }));
  const file = async (name: string, content: string) => {
    await writeFile(join(directory, name), content);
    return join(directory, name);
  };
  const files = {
    caFile: await file('ca.crt', ca.certificatePem),
    certificateFile: await file('tls.crt', client.certificatePem),
    keyFile: await file('tls.key', client.privateKeyPem),
  };
  const metrics = new Registry();
  const tunnel = await createGatewayTunnel(
    {
      ...{ mode: 'grpc', allowUnverified: false },
      server: { type: 'tcp', host: '127.0.0.1', port: frontend.port, ...files },
    },
    { userAgent: 'test', metrics, log: silentLog },
  );
  onTestEnd(() => tunnel.destroy());
  const credentials = createCredentialResolver({ log: silentLog });
  const transportTo = async (cluster: Cluster, denied: readonly string[] = []) => {
    const create = createEndpointTransports(denied, tunnel.dial);
    const transport = create(cluster, await credentials.resolve(cluster));
    onTestEnd(() => transport.destroy());
    return transport;
  };
  return { frontend, metrics, transportTo, clusterCa: clusterCa.certificatePem, api, tunnel };
}

test('clusters behind the tunnel share it, each with a TLS of its own', async () => {
  const { frontend, metrics, transportTo, clusterCa } = await start();
  for (const name of ['one', 'two']) {
    const cluster = clusterNamed(name, { 'ca.crt': clusterCa });
    const transport = await transportTo(cluster);
    const { authority } = cluster.endpoint;
    expect(await textOf(await transport.request(get('/version', { authority })))).toBe(`${name} /version`);
  }
  expect(frontend.calls.map(({ dial }) => dial.address)).toEqual(['one:443', 'two:443']);
  expect(frontend.accepted).toBe(1);
  expect(await metrics.metrics()).toContain('client_connections{status="ok"} 2');
});

test('a cluster whose CA did not sign what answers is not trusted', async () => {
  const { transportTo } = await start();
  const { ca } = await testPki();
  const transport = await transportTo(clusterNamed('one', { 'ca.crt': ca.certificatePem }));
  expect((await failureOf(transport.request(get('/')))).kind).toBe('untrusted');
});

test('a name that is a denied address is not asked for', async () => {
  const { frontend, transportTo, clusterCa } = await start();
  const transport = await transportTo(clusterNamed('169.254.169.254', { 'ca.crt': clusterCa }), [
    'link-local',
  ]);
  expect((await failureOf(transport.request(get('/')))).message).toContain('may not be connected to');
  expect(frontend.calls).toEqual([]);
});

test('other clusters are reached as before', async () => {
  const { api, frontend, transportTo, clusterCa } = await start();
  const endpoint = `https://127.0.0.1:${api.address.port}`;
  const transport = await transportTo(clusterNamed('direct', { endpoint, 'ca.crt': clusterCa }, 'Const'));
  // Its certificate is for another name: it was asked itself.
  expect((await failureOf(transport.request(get('/')))).kind).toBe('untrusted');
  expect(frontend.accepted).toBe(0);
});

test('the end of the tunnel waits for what is open, and files that cannot be read end the start', async () => {
  const { tunnel, transportTo, clusterCa } = await start();
  const transport = await transportTo(clusterNamed('one', { 'ca.crt': clusterCa }));
  await textOf(await transport.request(get('/')));
  await transport.close();
  await tunnel.close();
  const none = { caFile: '/none', certificateFile: '/none', keyFile: '/none' };
  const options = { mode: 'grpc', allowUnverified: false } as const;
  const server = { type: 'tcp', host: 'x', port: 1, ...none } as const;
  const parts = { userAgent: 'test', metrics: new Registry(), log: silentLog };
  await expect(createGatewayTunnel({ ...options, server }, parts)).rejects.toThrow('ENOENT');
});
