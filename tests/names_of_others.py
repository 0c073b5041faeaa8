"""Public names of other libraries: each is one of xpnet's, or leads to one, or is in NO_EQUAL."""

FUNCTIONS = {
    "dezero.functions": """
        sin cos tanh exp log reshape transpose get_item expand_dims flatten sum sum_to broadcast_to average mean
        matmul linear linear_simple sigmoid sigmoid_simple relu softmax softmax_simple log_softmax leaky_relu
        mean_squared_error mean_squared_error_simple softmax_cross_entropy softmax_cross_entropy_simple
        sigmoid_cross_entropy binary_cross_entropy accuracy dropout batch_nrom embed_id max min clip conv2d
        conv2d_simple deconv2d pooling pooling_simple average_pooling im2col col2im add mul neg sub rsub div rdiv
        pow as_array logsumexp
    """,
    "common.functions": """
        identity_function step_function sigmoid sigmoid_grad relu relu_grad softmax mean_squared_error
        sum_squared_error cross_entropy_error softmax_loss im2col col2im numerical_gradient shuffle_dataset
        clip_grads convert_one_hot eval_perplexity
    """,
    "torch.nn.functional": """
        adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d
        adaptive_max_pool1d_with_indices adaptive_max_pool2d adaptive_max_pool2d_with_indices adaptive_max_pool3d
        adaptive_max_pool3d_with_indices affine_grid alpha_dropout avg_pool1d avg_pool2d avg_pool3d batch_norm
        bilinear binary_cross_entropy binary_cross_entropy_with_logits celu celu_ channel_shuffle conv1d conv2d
        conv3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d cosine_embedding_loss cosine_similarity
        cross_entropy ctc_loss dropout dropout1d dropout2d dropout3d elu elu_ embedding embedding_bag
        feature_alpha_dropout fold fractional_max_pool2d fractional_max_pool2d_with_indices fractional_max_pool3d
        fractional_max_pool3d_with_indices gaussian_nll_loss gelu glu grid_sample group_norm gumbel_softmax
        hardshrink hardsigmoid hardswish hardtanh hardtanh_ hinge_embedding_loss huber_loss instance_norm
        interpolate kl_div l1_loss layer_norm leaky_relu leaky_relu_ linear linear_cross_entropy
        local_response_norm log_softmax logsigmoid lp_pool1d lp_pool2d lp_pool3d margin_ranking_loss max_pool1d
        max_pool1d_with_indices max_pool2d max_pool2d_with_indices max_pool3d max_pool3d_with_indices max_unpool1d
        max_unpool2d max_unpool3d mish mse_loss multi_head_attention_forward multi_margin_loss
        multilabel_margin_loss multilabel_soft_margin_loss nll_loss normalize one_hot pad pairwise_distance pdist
        pixel_shuffle pixel_unshuffle poisson_nll_loss prelu relu relu6 relu_ rms_norm rrelu rrelu_
        scaled_dot_product_attention selu selu_ sigmoid silu smooth_l1_loss soft_margin_loss softmax softmin
        softplus softshrink softsign tanh tanhshrink threshold threshold_ triplet_margin_loss
        triplet_margin_with_distance_loss unfold upsample upsample_bilinear upsample_nearest
    """,
    "keras.activations": """
        celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear
        log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus
        sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold
    """,
    "keras.losses": """
        binary_crossentropy binary_focal_crossentropy categorical_crossentropy categorical_focal_crossentropy
        categorical_generalized_cross_entropy categorical_hinge circle cosine_similarity ctc dice hinge huber
        kl_divergence log_cosh mean_absolute_error mean_absolute_percentage_error mean_squared_error
        mean_squared_logarithmic_error poisson sparse_categorical_crossentropy squared_hinge tversky
    """,
}

PACKAGE = {
    "dezero": """
        Variable Parameter Function using_config no_grad test_mode as_array as_variable Model Layer DataLoader
        SeqDataLoader Dataset get_dot_graph plot_dot_graph numerical_grad gradient_check get_array_module as_numpy
        as_cupy cuda datasets utils transforms
    """,
    "dezero.layers": "Layer Linear Conv2d Deconv2d RNN LSTM EmbedID BatchNorm",
    "dezero.models": "Model Sequential MLP VGG16 ResNet ResNet50 ResNet101 ResNet152 SqueezeNet",
    "dezero.optimizers": """
        Optimizer WeightDecay ClipGrad FreezeParam SGD MomentumSGD AdaGrad AdaDelta Adam
    """,
    "dezero.datasets": "Dataset Spiral MNIST CIFAR10 CIFAR100 ImageNet SinCurve Shakespear get_spiral",
    "dezero.transforms": """
        Compose Convert Resize CenterCrop ToArray ToPIL RandomHorizontalFlip Normalize Flatten AsType ToFloat ToInt
    """,
    "common": """
        Relu Sigmoid Affine SoftmaxWithLoss Dropout BatchNormalization Convolution Pooling MulLayer AddLayer SGD
        Momentum Nesterov AdaGrad RMSprop Adam Trainer numerical_gradient smooth_curve shuffle_dataset
        conv_output_size im2col col2im MultiLayerNet MultiLayerNetExtend TwoLayerNet load_mnist MatMul Softmax
        SigmoidWithLoss Embedding TimeRNN TimeLSTM TimeEmbedding TimeAffine TimeSoftmaxWithLoss TimeDropout
        TimeBiLSTM TimeSigmoidWithLoss TimeGRU BaseModel RnnlmTrainer clip_grads convert_one_hot to_cpu to_gpu
        NegativeSamplingLoss UnigramSampler cos_similarity most_similar create_co_matrix ppmi preprocess create_contexts_target eval_perplexity
        eval_seq2seq analogy normalize
    """,
    "torch.nn": """
        AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveLogSoftmaxWithLoss AdaptiveMaxPool1d
        AdaptiveMaxPool2d AdaptiveMaxPool3d AlphaDropout AvgPool1d AvgPool2d AvgPool3d BCELoss BCEWithLogitsLoss
        BatchNorm1d BatchNorm2d BatchNorm3d Bilinear Buffer CELU CTCLoss ChannelShuffle CircularPad1d CircularPad2d
        CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d Conv1d Conv2d Conv3d ConvTranspose1d
        ConvTranspose2d ConvTranspose3d CosineEmbeddingLoss CosineSimilarity CrossEntropyLoss CrossMapLRN2d
        DataParallel Dropout Dropout1d Dropout2d Dropout3d ELU Embedding EmbeddingBag FeatureAlphaDropout Flatten
        Fold FractionalMaxPool2d FractionalMaxPool3d GELU GLU GRU GRUCell GaussianNLLLoss GroupNorm Hardshrink
        Hardsigmoid Hardswish Hardtanh HingeEmbeddingLoss HuberLoss Identity InstanceNorm1d InstanceNorm2d
        InstanceNorm3d KLDivLoss L1Loss LPPool1d LPPool2d LPPool3d LSTM LSTMCell LayerNorm LazyBatchNorm1d
        LazyBatchNorm2d LazyBatchNorm3d LazyConv1d LazyConv2d LazyConv3d LazyConvTranspose1d LazyConvTranspose2d
        LazyConvTranspose3d LazyInstanceNorm1d LazyInstanceNorm2d LazyInstanceNorm3d LazyLinear LeakyReLU Linear
        LinearCrossEntropyLoss LocalResponseNorm LogSigmoid LogSoftmax MSELoss MarginRankingLoss MaxPool1d
        MaxPool2d MaxPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d Mish Module ModuleDict ModuleList
        MultiLabelMarginLoss MultiLabelSoftMarginLoss MultiMarginLoss MultiheadAttention NLLLoss NLLLoss2d PReLU
        PairwiseDistance Parameter ParameterDict ParameterList PixelShuffle PixelUnshuffle PoissonNLLLoss RMSNorm
        RNN RNNCell RReLU ReLU ReLU6 ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d
        ReplicationPad2d ReplicationPad3d SELU Sequential SiLU Sigmoid SmoothL1Loss SoftMarginLoss Softmax
        Softmax2d Softmin Softplus Softshrink Softsign SyncBatchNorm Tanh Tanhshrink Threshold Transformer
        TransformerDecoder TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer TripletMarginLoss
        TripletMarginWithDistanceLoss Unflatten Unfold Upsample UpsamplingBilinear2d UpsamplingNearest2d ZeroPad1d
        ZeroPad2d ZeroPad3d
    """,
    "torch.optim": """
        ASGD Adadelta Adafactor Adagrad Adam AdamW Adamax LBFGS Muon NAdam Optimizer RAdam RMSprop Rprop SGD
        SparseAdam
    """,
    "torch.optim.lr_scheduler": """
        ChainedScheduler ConstantLR CosineAnnealingLR CosineAnnealingWarmRestarts CyclicLR ExponentialLR LRScheduler
        LambdaLR LinearLR MultiStepLR MultiplicativeLR OneCycleLR PolynomialLR ReduceLROnPlateau SequentialLR
        StepLR
    """,
    "torch.nn.init": """
        kaiming_normal_ kaiming_uniform_ xavier_normal_ xavier_uniform_ normal_ uniform_ ones_ zeros_ orthogonal_
        trunc_normal_
    """,
    "torch.utils.data": "DataLoader Dataset IterableDataset TensorDataset Subset ConcatDataset",
    "torch": """
        tensor Tensor no_grad inference_mode manual_seed save load compile from_numpy as_tensor cat stack
    """,
    "keras.layers": """
        Activation AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D AdaptiveMaxPooling1D
        AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention Average
        AveragePooling1D AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D BatchNormalization
        Bidirectional CategoryEncoding Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D
        Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Convolution1D Convolution1DTranspose Convolution2D
        Convolution2DTranspose Convolution3D Convolution3DTranspose Cropping1D Cropping2D Cropping3D Dense
        DepthwiseConv1D DepthwiseConv2D Dot Dropout ELU EinsumDense Embedding Flatten GRU GRUCell GaussianDropout
        GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool1D
        GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D GlobalMaxPooling1D
        GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization GroupQueryAttention Identity Input InputLayer LSTM
        LSTMCell Lambda Layer LayerNormalization LeakyReLU Masking MaxPool1D MaxPool2D MaxPool3D MaxPooling1D
        MaxPooling2D MaxPooling3D Maximum Minimum MultiHeadAttention Multiply Normalization PReLU Permute
        RMSNormalization RNN ReLU RepeatVector Rescaling Reshape Resizing SeparableConv1D SeparableConv2D SimpleRNN
        SimpleRNNCell Softmax SpatialDropout1D SpatialDropout2D SpatialDropout3D SpectralNormalization
        StackedRNNCells Subtract TimeDistributed UnitNormalization UpSampling1D UpSampling2D UpSampling3D
        ZeroPadding1D ZeroPadding2D ZeroPadding3D
    """,
    "keras.optimizers": """
        Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lamb Lion LossScaleOptimizer Muon Nadam Optimizer RMSprop
        SGD ScheduleFreeAdamW
    """,
    "keras.optimizers.schedules": """
        CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay LearningRateSchedule
        PiecewiseConstantDecay PolynomialDecay
    """,
    "keras.losses": """
        BinaryCrossentropy BinaryFocalCrossentropy CategoricalCrossentropy CategoricalFocalCrossentropy
        CosineSimilarity Hinge Huber KLDivergence LogCosh MeanAbsoluteError MeanAbsolutePercentageError
        MeanSquaredError MeanSquaredLogarithmicError Poisson SparseCategoricalCrossentropy SquaredHinge
    """,
    "keras.initializers": """
        GlorotNormal GlorotUniform HeNormal HeUniform LecunNormal LecunUniform RandomNormal RandomUniform
        Orthogonal TruncatedNormal
    """,
    "keras.callbacks": """
        CSVLogger Callback EarlyStopping History LearningRateScheduler ModelCheckpoint ProgbarLogger
        ReduceLROnPlateau TensorBoard TerminateOnNaN
    """,
    "keras": "Model Sequential Input ops",
}

NO_EQUAL = {
    "losses": """
        cosine_embedding_loss CosineEmbeddingLoss ctc ctc_loss CTCLoss hinge_embedding_loss HingeEmbeddingLoss
        multilabel_margin_loss MultiLabelMarginLoss triplet_margin_loss TripletMarginLoss
        triplet_margin_with_distance_loss TripletMarginWithDistanceLoss binary_focal_crossentropy
        BinaryFocalCrossentropy categorical_focal_crossentropy CategoricalFocalCrossentropy
        categorical_generalized_cross_entropy categorical_hinge circle dice tversky AdaptiveLogSoftmaxWithLoss
    """,
    "dropout and noise": """
        alpha_dropout AlphaDropout feature_alpha_dropout FeatureAlphaDropout GaussianDropout GaussianNoise rrelu
        rrelu_ RReLU gumbel_softmax
    """,
    "activations": "sparse_plus sparse_sigmoid sparsemax",
    "pooling and sampling": """
        fractional_max_pool2d fractional_max_pool2d_with_indices fractional_max_pool3d
        fractional_max_pool3d_with_indices FractionalMaxPool2d FractionalMaxPool3d lp_pool1d lp_pool2d lp_pool3d
        LPPool1d LPPool2d LPPool3d max_unpool1d max_unpool2d max_unpool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d
        affine_grid grid_sample upsample_bilinear UpsamplingBilinear2d pixel_shuffle pixel_unshuffle PixelShuffle
        PixelUnshuffle channel_shuffle ChannelShuffle conv_tbc
    """,
    "normalization": """
        local_response_norm LocalResponseNorm CrossMapLRN2d SpectralNormalization UnitNormalization
    """,
    "layers": """
        AdditiveAttention GroupQueryAttention CategoryEncoding ConvLSTM1D ConvLSTM2D ConvLSTM3D Masking Rescaling
        Resizing TransformerDecoder TransformerDecoderLayer
    """,
    "models": "VGG16 SqueezeNet",
    "optimizers": """
        ASGD Adafactor Adamax Muon Rprop SparseAdam Ftrl ScheduleFreeAdamW CyclicLR MultiplicativeLR
        ChainedScheduler InverseTimeDecay
    """,
    "initializers": "orthogonal_ trunc_normal_ Orthogonal TruncatedNormal",
    "data": """
        Spiral CIFAR100 ImageNet SinCurve Shakespear get_spiral Convert Resize CenterCrop ToArray ToPIL
        RandomHorizontalFlip ToFloat ToInt Subset ConcatDataset smooth_curve conv_output_size
    """,
    "words and sequences": """
        RnnlmTrainer most_similar create_co_matrix ppmi preprocess create_contexts_target eval_seq2seq analogy
        UnigramSampler
    """,
    "parts of Keras": "ops",
}
"""What xpnet has no equal of, and no formula of a line either."""
