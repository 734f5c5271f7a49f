import { expect, test } from 'vitest';

import { box } from '../worlds/node.ts';
import { grant, onProxy, type Rule } from './inner-authorization-rights.ts';
import { createClient } from './registration-client.ts';
import { proxyPath } from './registration-world.ts';
import { describeScenarios, proxyUrl } from './world.ts';

const spdy = { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false' };

await describeScenarios(
  'commands in pods need create, at the proxy and inside',
  (world) => {
    const rules = (proxy: readonly string[], exec: readonly string[]): readonly Rule[] => [
      onProxy(proxy),
      { apiGroups: [''], resources: ['pods'], verbs: ['get'] },
      { apiGroups: [''], resources: ['pods/exec'], verbs: exec },
    ];
    const both = ['get', 'create'];

    test('[48] kubectl exec with both verbs runs, without either create it does not, on both protocols', async () => {
      await world().register('a', { cluster: 'a', credential: 'X509Certificate' });
      const denied = (what: string) => new RegExp(`cannot create resource "${what}"`);
      for (const { name, proxy, exec, wanted } of [
        { name: 'runner', proxy: both, exec: both, wanted: undefined },
        { name: 'reader', proxy: ['get'], exec: both, wanted: denied('clustergateways/proxy') },
        { name: 'guest', proxy: both, exec: ['get'], wanted: denied('pods/exec') },
      ]) {
        await grant({ kube: world() }, { name, kind: 'User' }, rules(proxy, exec));
        const { kubeconfig } = await world().hub.user(name);
        for (const env of [{}, spdy]) {
          const server = proxyUrl(world(), 'a');
          const args = ['exec', box.name, '--', 'echo', 'ran'];
          const { code, stdout, stderr } = await world().kubectl(args, { kubeconfig, server, env });
          const found = { name, env, ran: stdout === 'ran\n', failed: code !== 0 };
          expect(found).toEqual({ name, env, ran: wanted === undefined, failed: wanted !== undefined });
          if (wanted !== undefined) expect(stderr).toMatch(wanted);
        }
      }
    });

    test('[48] with create alone a client that speaks SPDY runs a command', async () => {
      await grant({ kube: world() }, { name: 'creator', kind: 'User' }, rules(['create'], ['create']));
      const { hub } = world();
      const client = createClient({ url: hub.url, caPem: hub.caPem, ...(await hub.user('creator')) });
      const path = `/api/v1/namespaces/default/pods/${box.name}/exec?command=true&stdout=true`;
      const said = await client.raw(
        [
          `POST ${proxyPath('a', path)} HTTP/1.1`,
          ...['Host: hub', 'Connection: Upgrade', 'Upgrade: SPDY/3.1', 'Content-Length: 0'],
          ...['X-Stream-Protocol-Version: v4.channel.k8s.io', '', ''],
        ].join('\r\n'),
        2000,
      );
      client.close();
      expect(said).toMatch(/^HTTP\/1\.1 101 [^]*x-stream-protocol-version: v4\.channel\.k8s\.io/i);
    });
  },
  { node: true, gateway: { flags: ['--authorize-proxy-subpath', '--require-create-for-upgrade'] } },
);
