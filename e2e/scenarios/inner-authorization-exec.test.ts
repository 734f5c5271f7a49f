import { expect, test } from 'vitest';

import { box } from '../worlds/node.ts';
import { until } from '../worlds/wait.ts';
import { auditEnd, auditSince } from './audit-log.ts';
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

    /** What is said to somebody who runs a command over SPDY. */
    async function runsAs(user: string, query = ''): Promise<string> {
      const { hub } = world();
      const client = createClient({ url: hub.url, caPem: hub.caPem, ...(await hub.user(user)) });
      const path = `/api/v1/namespaces/default/pods/${box.name}/exec?command=true&stdout=true${query}`;
      try {
        return await client.raw(
          [
            `POST ${proxyPath('a', path)} HTTP/1.1`,
            ...['Host: hub', 'Connection: Upgrade', 'Upgrade: SPDY/3.1', 'Content-Length: 0'],
            ...['X-Stream-Protocol-Version: v4.channel.k8s.io', '', ''],
          ].join('\r\n'),
          2000,
        );
      } finally {
        client.close();
      }
    }
    const switched = /^HTTP\/1\.1 101 [^]*x-stream-protocol-version: v4\.channel\.k8s\.io/i;

    test('[48] with create alone a client that speaks SPDY runs a command', async () => {
      await grant({ kube: world() }, { name: 'creator', kind: 'User' }, rules(['create'], ['create']));
      expect(await runsAs('creator')).toMatch(switched);
    });

    test('[57] a caller who is impersonated runs a command as that user of the cluster, and with no more rights', async () => {
      const { a } = world();
      await grant({ kube: world() }, { name: 'jane', kind: 'User' }, rules(['create'], ['create']));
      const refused = await runsAs('jane', '&impersonate=true');
      expect(refused).toMatch(/^HTTP\/1\.1 403 [^]*User \\"jane\\" cannot create resource \\"pods\/exec\\"/);
      const exec = { apiGroups: [''], resources: ['pods/exec'], verbs: ['create'] };
      await grant({ kube: { hub: a } }, { name: 'jane', kind: 'User' }, [exec]);
      const since = await auditEnd(a.auditLog);
      await expect.poll(() => runsAs('jane', '&impersonate=true'), { timeout: 10_000 }).toMatch(switched);
      const ofExec = async () =>
        (await auditSince(a.auditLog, since)).find(
          ({ stage, requestURI, responseStatus }) =>
            stage === 'ResponseComplete' && requestURI.includes('/exec?') && responseStatus?.code === 101,
        );
      const { impersonatedUser } = await until('the end of exec', ofExec, { timeoutMs: 3000 });
      expect(impersonatedUser?.username).toBe('jane');
    });
  },
  { node: true, gateway: { flags: ['--authorize-proxy-subpath', '--require-create-for-upgrade'] } },
);
