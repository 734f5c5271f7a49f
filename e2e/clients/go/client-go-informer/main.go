// The informer of client-go on one resource of one server, as a controller uses it. WatchListClient is as client-go ships it: on.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"

	"cluster-gateway/e2e/clients/go/report"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "path of the kubeconfig")
	server := flag.String("server", "", "address of the API server instead of the kubeconfig's, with a path")
	client := flag.String("client", "dynamic", "dynamic (JSON), metadata (metadata only), or typed (protobuf; built-in resources only)")
	resource := flag.String("resource", "", "group/version/resource, or version/resource for the core group")
	namespace := flag.String("namespace", "", "all namespaces when empty")
	flag.Parse()

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	exitOn(err)
	if *server != "" {
		config.Host = *server
	}
	config.UserAgent = "client-go-informer/" + *client
	gvr, err := parse(*resource)
	exitOn(err)
	informer, err := newInformer(*client, config, gvr, *namespace)
	exitOn(err)
	_, err = informer.AddEventHandler(report.Handlers())
	exitOn(err)

	ctx := context.Background()
	go informer.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		exitOn(errors.New("the cache has not synced"))
	}
	report.Synced(names(informer.GetStore().List()))
	<-ctx.Done()
}

func newInformer(client string, config *rest.Config, gvr schema.GroupVersionResource, namespace string) (cache.SharedIndexInformer, error) {
	switch client {
	case "dynamic":
		made, err := dynamic.NewForConfig(config)
		if err != nil {
			return nil, err
		}
		return dynamicinformer.NewFilteredDynamicSharedInformerFactory(made, 0, namespace, nil).ForResource(gvr).Informer(), nil
	case "metadata":
		made, err := metadata.NewForConfig(config)
		if err != nil {
			return nil, err
		}
		return metadatainformer.NewFilteredSharedInformerFactory(made, 0, namespace, nil).ForResource(gvr).Informer(), nil
	case "typed":
		config.ContentType = runtime.ContentTypeProtobuf
		made, err := kubernetes.NewForConfig(config)
		if err != nil {
			return nil, err
		}
		factory := informers.NewSharedInformerFactoryWithOptions(made, 0, informers.WithNamespace(namespace))
		generic, err := factory.ForResource(gvr)
		if err != nil {
			return nil, err
		}
		return generic.Informer(), nil
	default:
		return nil, fmt.Errorf("there is no client %q", client)
	}
}

func parse(resource string) (schema.GroupVersionResource, error) {
	var gvr schema.GroupVersionResource
	version, name := resource, ""
	for i := len(resource) - 1; i >= 0; i-- {
		if resource[i] == '/' {
			version, name = resource[:i], resource[i+1:]
			break
		}
	}
	gv, err := schema.ParseGroupVersion(version)
	if err != nil || name == "" {
		return gvr, fmt.Errorf("%q is no group/version/resource", resource)
	}
	return gv.WithResource(name), nil
}

func names(objects []any) []string {
	found := []string{}
	for _, object := range objects {
		accessor, err := meta.Accessor(object)
		exitOn(err)
		found = append(found, accessor.GetName())
	}
	return found
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
