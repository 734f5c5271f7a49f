// The cache of controller-runtime with unstructured objects of one kind: what a controller's client reads from. The kind is looked
// up in discovery, as every controller does it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"cluster-gateway/e2e/clients/go/report"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "path of the kubeconfig")
	server := flag.String("server", "", "address of the API server instead of the kubeconfig's, with a path")
	apiVersion := flag.String("api-version", "v1", "group/version of the kind")
	kind := flag.String("kind", "", "the kind")
	namespace := flag.String("namespace", "", "all namespaces when empty")
	flag.Parse()
	log.SetLogger(klog.Background())

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	exitOn(err)
	if *server != "" {
		config.Host = *server
	}
	config.UserAgent = "controller-runtime-cache"
	options := cache.Options{}
	if *namespace != "" {
		options.DefaultNamespaces = map[string]cache.Config{*namespace: {}}
	}
	made, err := cache.New(config, options)
	exitOn(err)

	ctx := context.Background()
	go func() { exitOn(made.Start(ctx)) }()
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(schema.FromAPIVersionAndKind(*apiVersion, *kind))
	// Waits until the informer of this kind has synced.
	informer, err := made.GetInformer(ctx, object)
	exitOn(err)
	_, err = informer.AddEventHandler(report.Handlers())
	exitOn(err)
	if !made.WaitForCacheSync(ctx) {
		exitOn(errors.New("the cache has not synced"))
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(schema.FromAPIVersionAndKind(*apiVersion, *kind+"List"))
	exitOn(made.List(ctx, list))
	names := []string{}
	for _, item := range list.Items {
		names = append(names, item.GetName())
	}
	report.Synced(names)
	<-ctx.Done()
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
