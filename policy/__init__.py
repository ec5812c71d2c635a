"""The policy pack: what is wrong with a deployment, said in preview. Runs by itself, for any program with AKS pools."""
