import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { describe, expect, test } from 'vitest';

/**
 * The tests of apiserver-network-proxy (v0.36.0 and 4f8517c1 of 2026-08-21) that say how a tunnel behaves, by the file that
 * they stand in. Each has one of ours, which is found by the name behind `(upstream: …)` in its title. The last group has
 * no such name: these are faults that were found in Go's programs from outside.
 */
const cases = {
  'tests/proxy_test.go': [
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
  ],
  'tests, the other files': [
    'TestProxy_Agent_Disconnect_Persistent_Connection',
    'TestAgentRestartReconnect',
    'TestProxy_ConcurrencyGRPC',
    'TestProxy_ConcurrencyHTTP',
    'TestAgent_MultipleConn',
    'TestConcurrentClientRequest',
    'TestCustomALPN',
    'TestBasicHAProxyServer_GRPC',
    'TestGRPCServerAndAgentReadiness',
    'TestHTTPConnServerAndAgentReadiness',
    'TestAgentReadinessWithoutServer',
    'TestServerRestartAgentReconnect',
    'TestEchoServer',
    'BenchmarkLargeResponse_GRPC',
    'BenchmarkLargeRequest_GRPC',
  ],
  'e2e/static_count_test.go': [
    'TestSingleServer_SingleAgent_StaticCount',
    'TestMultiServer_MultiAgent_StaticCount',
  ],
  'pkg/server/server_test.go': [
    'TestAgentTokenAuthenticationErrorsToken',
    'TestRemovePendingDialForStream',
    'TestHTTPConnectTunnelBlockedBackendDialSendTimesOutCleansPendingDialAndRetiresBackend',
    'TestAddRemoveFrontends',
    'TestAddRemoveBackends_DefaultStrategy',
    'TestAddRemoveBackends_DefaultRouteStrategy',
    'TestAddRemoveBackends_DestHostStrategy',
    'TestAddRemoveBackends_DestHostSanitizeRequest',
    'TestAddRemoveBackends_DestHostWithDefault',
    'TestAddRemoveBackends_DestHostWithDuplicateIdents',
    'TestEstablishedConnsMetric',
    'TestConnectionDurationMetric',
    'TestRemoveEstablishedForBackendConn',
    'TestRemoveEstablishedForStream',
    'TestServerProxyNoBackend',
    'TestServerProxyNormalClose',
    'TestServerProxyRecvChanFull',
    'TestServerProxyNoDial',
    'TestServerProxyConnectionMismatch',
    'TestReadyBackendsMetric',
    'TestTotalReadyBackendsMetric',
    'TestRemoveEstablishedForBackendConnPreservesOtherBackends',
  ],
  'pkg/server/backend_manager_test.go, proto/header': [
    'TestNewBackend',
    'TestDefaultBackendManager_AddRemoveBackends',
    'TestDefaultRouteBackendManager_AddRemoveBackends',
    'TestDestHostBackendManager_AddRemoveBackends',
    'TestDestHostBackendManager_WithDuplicateIdents',
    'TestDefaultBackendManager_GetRandomBackend_DrainingFallback',
    'TestDestHostBackendManager_Backend_DrainingFallback',
    'TestGenAgentIdentifiers',
  ],
  'pkg/agent/client_test.go, clientset_test.go': [
    'TestServeData_HTTP',
    'TestClose_Client',
    'TestConnectionMismatch',
    'TestFailedSend_DialResp_GRPC',
    'TestDrain',
    'TestResponseBasedCounter',
  ],
  'konnectivity-client/pkg/client/client_test.go': [
    'TestDial',
    'TestDialRace',
    'TestAlreadyDialed',
    'TestData',
    'TestClose',
    'TestCloseTimeout',
    'TestCreateSingleUseGrpcTunnel_NoLeakOnFailure',
    'TestCreateSingleUseGrpcTunnelWithContext_NoLeakOnFailure',
    'TestDialAfterTunnelCancelled',
    'TestDial_RequestContextCancelled',
    'TestDial_BackendError',
    'TestDial_Closed',
    'TestRegisterMetrics',
    'TestLegacyRegisterMetrics',
  ],
  'konnectivity-client/pkg/client/reusable_tunnel_test.go': [
    'TestReusableTunnel_SingleDial',
    'TestReusableTunnel_ManySequentialDials_OneClientConn',
    'TestReusableTunnel_ConcurrentDials_Isolated',
    'TestReusableTunnel_PerDialCancellationIsolation',
    'TestReusableTunnel_RequestCtxHonoredDuringEstablishment',
    'TestReusableTunnel_LateEstablishmentWaited',
    'TestReusableTunnel_UnsupportedProtocolShortCircuits',
    'TestReusableTunnel_InnerDialContextSendFailureCleansUp',
    'TestReusableTunnel_DialAfterCloseTyped',
    'TestReusableTunnel_CloseErrorReturnedToFirstCallerOnly',
    'TestReusableTunnel_ConcurrentClose_WaitsForDrain',
    'TestReusableTunnel_CloseRace',
    'TestReusableTunnel_DoneRequiresClose',
    'TestReusableTunnel_StreamSetupFailureTyped',
    'TestReusableTunnel_BackendErrorIsNotStreamSetup',
    'TestReusableTunnel_NoGoroutineLeaks',
    'TestCreateGRPCTunnel_NoLeakOnFailure',
  ],
  'seen from outside': [
    'slow reader isolation',
    'slow destination isolation',
    '5 MiB DATA',
    'same agentID and connID',
    'foreign connID',
    'data then close',
    '4 pings',
    '3000 RSTs',
    'agent killed during dial',
    'END_STREAM as close',
    'duplicate CLOSE_RSP',
  ],
} as const;

/** What has no counterpart: `--count-server-leases` is refused at the start, as servers say how many there are. */
const notImplemented = [
  'TestAggregateServerCounter',
  'TestServerLeaseCounter',
  'TestServerLeaseCounter_FallbackCount',
  'TestGarbageCollectionController',
  'TestIsLeaseValid',
  'TestSingleServer_SingleAgent_LeaseCount',
  'TestMultiServer_MultiAgent_LeaseCount',
];

/** Titles of `test(…)`, `test.each(…)(…)` and `describe(…)` in a file. */
function titlesIn(source: string): string[] {
  const titles: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && isTest(node.expression)) {
      const [title] = node.arguments;
      if (title && ts.isStringLiteralLike(title)) titles.push(title.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('x.test.ts', source, ts.ScriptTarget.Latest));
  return titles;
}

function isTest(called: ts.Expression): boolean {
  if (ts.isIdentifier(called)) return called.text === 'test';
  if (ts.isPropertyAccessExpression(called) || ts.isCallExpression(called)) return isTest(called.expression);
  return false;
}

const upstreamNames = (title: string): string[] =>
  /\(upstream: ([^()]+)\)$/.exec(title)?.[1]?.split(', ') ?? [];

const files = readdirSync(import.meta.dirname, { recursive: true, encoding: 'utf8' });
const found = new Set(
  files
    .filter((file) => file.endsWith('.test.ts'))
    .flatMap((file) => titlesIn(readFileSync(join(import.meta.dirname, file), 'utf8')))
    .flatMap(upstreamNames),
);
const all: string[] = Object.values(cases).flat();

describe.each(Object.entries(cases))('%s', (_, names) => {
  test.each(names)('%s has a test of ours', (name) => {
    expect(found).toContain(name);
  });
});

test('no title names a case that is not listed', () => {
  expect([...found].filter((name) => !all.includes(name))).toEqual([]);
});

test('each case stands once', () => {
  expect(new Set([...all, ...notImplemented]).size).toBe(all.length + notImplemented.length);
});

test('titles are those of tests, however they are written', () => {
  const source = `
    test('a (upstream: TestA)', () => {});
    test.each([['no (upstream: TestNo)']])('b %s (upstream: TestB, TestC)', () => {});
    describe('d (upstream: TestD)', () => { test.runIf(true)(\`e (upstream: TestE)\`, () => {}); });
    expect('f (upstream: TestF)').toBe('');
  `;
  expect(titlesIn(source).flatMap(upstreamNames)).toEqual(['TestA', 'TestB', 'TestC', 'TestE']);
});
