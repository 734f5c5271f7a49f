import { afterAll, beforeAll, expect, test } from 'vitest';

import { openSite, type TunnelSite } from '../tunnel/site.ts';
import { runUpstreamSuite, type SuiteOutcome, writeAgentLauncher } from '../tunnel/upstream-suite.ts';
import { describeWorld } from '../worlds/describe-world.ts';

/** The tests of apiserver-network-proxy v0.36.0. */
const names = [
  'TestProxy_Agent_Disconnect_Persistent_Connection',
  'TestAgentRestartReconnect',
  'TestConcurrentClientRequest',
  'TestProxy_ConcurrencyGRPC',
  'TestProxy_ConcurrencyHTTP',
  'TestAgent_MultipleConn',
  'TestCustomALPN',
  'TestBasicHAProxyServer_GRPC',
  'TestBasicProxy_GRPC',
  'TestProxyHandleDialError_GRPC',
  'TestProxyHandle_DoneContext_GRPC',
  'TestProxyHandle_RequestDeadlineExceeded_GRPC',
  'TestProxyDial_RequestCancelled_GRPC',
  'TestProxyDial_RequestCancelled_Concurrent_GRPC',
  'TestProxyDial_AgentTimeout_GRPC',
  'TestProxyHandle_TunnelContextCancelled_GRPC',
  'TestProxy_LargeResponse',
  'TestBasicProxy_HTTPCONN',
  'TestFailedDNSLookupProxy_HTTPCONN',
  'TestFailedDial_HTTPCONN',
  'TestProxyHandle_AfterDrain',
  'TestGRPCServerAndAgentReadiness',
  'TestHTTPConnServerAndAgentReadiness',
  'TestAgentReadinessWithoutServer',
  'TestServerRestartAgentReconnect',
  'TestEchoServer',
];

await describeWorld(
  "apiserver-network-proxy's own tests, with our agent",
  () => {
    let site: TunnelSite;
    let outcomes: readonly SuiteOutcome[] = [];
    beforeAll(async () => {
      site = await openSite();
      const agentPath = await writeAgentLauncher(site.directory);
      outcomes = await runUpstreamSuite(site, { agentPath, timeoutMs: 400_000 });
    });
    afterAll(() => site.end({ keep: outcomes.some(({ outcome }) => outcome === 'FAIL') }));

    test.each(names)('%s', (name) => {
      const found = outcomes.find((each) => each.name === name);
      expect(found?.outcome, found?.output).toBe('PASS');
    });

    test('there is no other', () => {
      expect(outcomes.map(({ name }) => name).toSorted()).toEqual(names.toSorted());
    });
  },
  { node: true },
);
