import { ensureBuilt } from '../kube/binaries.ts';
import type { BinaryRecipe } from '../kube/catalogue.ts';

/** Paths of the programs in `go`. */
export interface GoClients {
  readonly 'client-go-informer': string;
  readonly 'controller-runtime-cache': string;
}

/** Builds what is not in the cache yet; in half a minute where kube-apiserver was built before, whose packages these are. */
export function ensureGoClients(): Promise<GoClients> {
  return ensureBuilt({
    'client-go-informer': recipe('client-go-informer'),
    'controller-runtime-cache': recipe('controller-runtime-cache'),
  });
}

function recipe(name: string): BinaryRecipe {
  return { module: '../clients/go', package: `./${name}`, ldflags: '-s -w', minutes: 0.4 };
}
