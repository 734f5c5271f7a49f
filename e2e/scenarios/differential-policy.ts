import { rbac, settings, signingRequest } from './differential-manifests.ts';
import type { Sequence } from './differential-step.ts';

/** Who may do what, with the administrator's credential (a certificate) and with a limited one (a token). */
export const policySequences: readonly Sequence[] = [
  {
    name: '[46] who I am and what I may',
    steps: [
      'auth whoami',
      'auth whoami -o yaml',
      'auth can-i create pods',
      'auth can-i --list',
      { command: 'auth whoami -o yaml', limited: true },
      { command: 'auth can-i get configmaps', limited: true },
      { command: 'auth can-i delete configmaps', limited: true },
      { command: 'auth can-i get /metrics', limited: true },
      { command: 'auth can-i --list', limited: true },
    ],
  },
  {
    name: 'a limited credential',
    steps: [
      { command: 'get configmaps', limited: true },
      { command: 'get configmap absent', limited: true },
      { command: 'get configmaps --all-namespaces', limited: true },
      { command: 'get configmaps -w', limited: true, killAfterMs: 1000 },
      { command: 'get secrets', limited: true },
      { command: 'get nodes', limited: true },
      { command: 'get --raw /metrics', limited: true },
      { command: 'create -f -', stdin: settings('red'), limited: true },
      { command: 'apply --server-side -f -', stdin: settings('red'), limited: true },
      { command: 'delete configmaps --all', limited: true },
      { command: 'exec box -n default -- true', limited: true },
      { command: 'cordon node-a', limited: true },
    ],
  },
  {
    name: 'RBAC, quotas, tokens',
    steps: [
      { command: 'auth reconcile -f -', stdin: rbac },
      'create rolebinding painter --role=painter --serviceaccount={ns}:default',
      'describe role painter',
      'delete rolebinding,role painter',
      'create quota small --hard=configmaps=100 -o yaml',
      'create clusterrole {ns}-viewer --verb=get,list --resource=pods --dry-run=server -o yaml',
      'delete quota small',
      'create token default --duration=1h',
      'create token default --duration=1h -o yaml --audience=somebody',
    ],
  },
  {
    name: 'certificates',
    steps: [
      { command: 'create -f -', stdin: signingRequest },
      'get csr {ns}-request',
      'certificate approve {ns}-request',
      'describe csr {ns}-request',
      'certificate deny {ns}-request',
      'certificate approve {ns}-absent',
      'delete csr {ns}-request',
    ],
  },
  {
    name: '[46] nodes',
    steps: [
      'cordon node-a --dry-run=server',
      'cordon node-a',
      'get node node-a -o jsonpath={.spec}',
      'uncordon node-a',
      'drain node-a --dry-run=server --pod-selector=app=box',
      'drain node-a --dry-run=server --pod-selector=app=box --force',
      'taint node node-a side=here:NoSchedule',
      'taint node node-a side-',
      'label node node-a {ns}=here',
      'label node node-a {ns}-',
    ],
  },
];
