import { deployment } from './differential-manifests.ts';
import type { Sequence } from './differential-step.ts';

/** A Deployment with real pods, from its first pod to its last. */
export const workloadSequences: readonly Sequence[] = [
  {
    name: '[40] a Deployment',
    steps: [
      { command: 'apply -f -', stdin: deployment },
      { command: 'wait deployment/web --for=condition=Available --timeout=20s', untilItSucceeds: true },
      'rollout status deployment/web',
      'rollout history deployment/web',
      'exec deployment/web -- echo hello',
      'logs deployment/web --limit-bytes=7',
      'get deployments,replicasets -o wide',
      'get pods -l app=web',
      'describe deployment web',
      'get deployment web --subresource=scale -o yaml',
      'scale deployment web --replicas=3 --current-replicas=7',
      'scale deployment web --replicas=2',
      {
        command: "wait deployment/web --for=jsonpath='{.status.availableReplicas}'=2 --timeout=20s",
        untilItSucceeds: true,
      },
      'get deployment web',
      'set env deployment/web COLOR=red --dry-run=server -o jsonpath={..env}',
      'rollout pause deployment/web',
      'set env deployment/web COLOR=red',
      'rollout undo deployment/web',
      'rollout resume deployment/web',
      'autoscale deployment web --min=1 --max=3 --cpu=80% --dry-run=server',
      'expose deployment web --port=80 --target-port=8080',
      'get service web -o yaml',
      'delete service web',
      'delete deployment web --cascade=foreground --timeout=20s',
      { command: 'wait pods -l app=web --for=delete --timeout=20s', polls: true },
      'get pods -l app=web',
    ],
  },
];
