"""Programs: one-line uses of methods and functions, for tests that run them all in several ways.

In a program F is the library (dualgraph or PyTorch); the other capitals are the operands below.
"""

import numpy as np

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.standard_normal(shape).astype("float32")


A, B, U = normal(3, 4), normal(3, 4), RNG.uniform(-0.9, 0.9, (3, 4)).astype("float32")
I, J = RNG.integers(-5, 9, (3, 4)), RNG.integers(1, 7, (3, 4))
FLOATS = {
    "A": A, "B": B, "P": np.abs(A) + np.float32(0.1), "U": U, "Sq": normal(4, 4), "T3": normal(2, 3, 4),
    "V": normal(4), "W": normal(4), "S0": np.array(2.5, "float32"),
}  # fmt: skip
OPERANDS = FLOATS | {
    "I": I, "J": J, "M": A > 0, "C": (A + 1j * B).astype("complex64"), "i32": I.astype("int32"),
    "u8": J.astype("uint8"), "D": A.astype("float64"), "H": A.astype("float16"),
    "IDX": RNG.integers(0, 3, (2, 4)), "ID1": RNG.integers(0, 4, (3, 2)), "L": np.array([2, 0]),
    "N": np.array([[1, np.nan, 3], [np.inf, -np.inf, 0]], "float32"),
}  # fmt: skip

# F is the library; capitals are the operands above
PROGRAMS = {
    "operators": """
        A+B ; A-B ; A*B ; A/B ; A//B ; A%B ; P**B ; A@B.T ; A+1 ; 1+A ; A-2 ; 2-A ; A*3 ; A/3 ; 3/A ;
        2**A ; I//J ; I%J ; I/J ; I**2 ; 2**J ; I+1.5 ; I*True ; M+1 ; M+M ; M*2.5 ; u8+i32 ; u8*2 ;
        i32+D ; H+A ; A==B ; I<J ; I>=2 ; ~M ; ~I ; M&M ; I&J ; I|J ; I^J ; J<<1 ; J>>1 ; -A ; abs(A) ;
        +A ; I&3 ; 3&I ; A<0 ; 0<A ; 1-M.float() ; A.float() ; I.float() ; A.double() ; A.int() ;
        A.long() ; A.bool() ; A.half() ; I.byte() ; I.char() ; I.short()
    """,
    "shapes": """
        A.view(4,3) ; A.view(-1) ; A.view(2,-1) ; A.reshape(2,6) ; A.reshape((2,6)) ; A.flatten() ;
        T3.flatten(1) ; T3.flatten(0,1) ; A.unsqueeze(0) ; A.unsqueeze(-1) ; A.unsqueeze(1).squeeze() ;
        A.unsqueeze(1).squeeze(1) ; A.squeeze(0) ; T3.permute(2,0,1) ; T3.permute((2,0,1)) ;
        T3.transpose(0,2) ; T3.transpose(-1,-2) ; A.t() ; A.T ; A.mT ; T3.mT ; V.expand(3,4) ;
        V.expand(3,-1) ; A.unsqueeze(0).expand(2,-1,-1) ; V.expand_as(A) ; A.repeat(2,3) ;
        A.repeat(2,1,1) ; A.tile(2) ; A.repeat_interleave(2) ; A.repeat_interleave(2,dim=1) ;
        A.repeat_interleave(2,0) ; A.contiguous() ; A.T.contiguous() ; A.clone() ; A.flip(0) ;
        A.flip(0,1) ; A.flip((0,1)) ; A.roll(1) ; A.roll(1,0) ; A.roll((1,2),(0,1)) ; A.roll(-1,1) ;
        A.narrow(1,1,2) ; A.select(1,2) ; A.select(0,-1) ; A.swapaxes(0,1) ; T3.movedim(0,2) ;
        T3.movedim((0,1),(1,2)) ; A.ravel() ; T3.unflatten(2,(2,2)) ; T3.unflatten(2,(-1,2)) ;
        A.fliplr() ; A.flipud() ; A.rot90() ; T3.rot90(2,(0,2)) ; A.rot90(-1,(1,0)) ; C.adjoint() ;
        A.view_as(B) ; A.reshape_as(B) ; T3.flatten(-2) ; A.broadcast_to((2,3,4)) ; C.H ; C.mH
    """,
    "parts": """
        A.unbind(0) ; A.unbind(1) ; A.split(2,1) ; A.split(2) ; A.split([1,3],1) ; A.chunk(2,1) ;
        A.chunk(3,1) ; A.chunk(2) ; A.tensor_split(3,1) ; A.tensor_split([1,2],1) ; V.unfold(0,2,1) ;
        A.unfold(1,3,1) ; A.unfold(1,2,2) ; A.hsplit(2) ; V.hsplit(2) ; A.vsplit(3) ; A.narrow(0,-2,2) ;
        A.split_with_sizes([1,2]) ; A.select(-1,1)
    """,
    "diagonals": """
        Sq.diagonal() ; Sq.diagonal(1) ; Sq.diagonal(-1) ; A.diagonal() ; A.diagonal(2) ;
        A.diagonal(-2) ; T3.diagonal(0,1,2) ; T3.diagonal(1,0,2) ; Sq.diag() ; V.diag() ; V.diag(1) ;
        V.diag(-1) ; A.diag(1) ; Sq.trace() ; A.tril() ; A.triu(1) ; A.tril(-1) ; T3.tril() ;
        A.diag_embed() ; A.diag_embed(1)
    """,
    "reductions": """
        A.sum() ; A.sum(0) ; A.sum(1) ; A.sum(-1,keepdim=True) ; A.sum((0,1)) ; A.sum(dim=[0]) ;
        I.sum() ; M.sum() ; A.sum(dtype=F.float64) ; T3.sum((0,2)) ; A.mean() ; A.mean(0) ;
        A.mean(1,True) ; T3.mean((1,2)) ; A.std() ; A.std(0) ; A.std(1,keepdim=True) ;
        A.std(unbiased=False) ; A.std(1,unbiased=False) ; A.var() ; A.var(0) ; A.var(dim=(0,1)) ;
        A.var(1,correction=0) ; A.prod() ; A.prod(1) ; I.prod() ; A.max() ; A.max(1) ;
        A.max(dim=0,keepdim=True) ; A.max(B) ; A.min() ; A.min(1) ; A.min(B) ; I.max() ; I.max(0) ;
        A.amax() ; A.amax(1) ; A.amin((0,1)) ; A.argmax() ; A.argmax(1) ;
        A.argmax(dim=0,keepdim=True) ; A.argmin() ; A.argmin(-1) ; M.any() ; M.any(1) ; M.all() ;
        M.all(0) ; A.median() ; A.median(1) ; V.median() ; A.cumsum(0) ; A.cumsum(1) ; I.cumsum(1) ;
        A.cumprod(1) ; A.norm() ; A.norm(1) ; A.norm(p=1) ; A.norm(dim=1) ; A.norm(2,1) ;
        A.norm(p=3.0,dim=0) ; A.norm(float('inf')) ; A.logsumexp(1) ; A.logsumexp(0,keepdim=True) ;
        A.logsumexp((0,1)) ; A.softmax(1) ; A.softmax(0) ; A.log_softmax(-1) ;
        A.softmax(-1,dtype=F.float64) ; A.aminmax() ; A.count_nonzero() ; A.count_nonzero(0) ;
        N.max() ; N.max(1) ; N.min(1) ; N.argmax(1) ; N.median() ; A.cummax(1) ; A.cummin(0) ;
        N.cummax(1) ; I.mode(1) ; A.kthvalue(2,1) ; A.kthvalue(1,0,True) ; S0.sum() ; S0.max() ;
        S0.sum(0) ; S0.mean() ; S0.argmax() ; S0.max(0) ; S0.softmax(0) ; S0.cumsum(0)
    """,
    "order": """
        A.sort() ; A.sort(0) ; A.sort(1,descending=True) ; A.argsort() ; A.argsort(0) ;
        A.argsort(dim=1,descending=True) ; A.topk(2) ; A.topk(2,0) ; A.topk(3,largest=False) ;
        A.topk(2,dim=1,largest=False,sorted=True) ; V.sort()
    """,
    "selection": """
        A.gather(0,IDX) ; A.gather(1,ID1) ; A.gather(dim=1,index=ID1) ; A.scatter(0,IDX,B) ;
        A.scatter(1,ID1,5.0) ; A.scatter(1,ID1,value=2.0) ; A.scatter_add(0,IDX,B) ;
        A.scatter_add(1,ID1,B) ; A.scatter(1,ID1,B,reduce='add') ;
        A.scatter(1,ID1[:,:1],B,reduce='multiply') ; A.index_select(0,L) ; A.index_select(1,L) ;
        A.index_add(1,L,B[:,:2]) ; A.index_add(0,L,B[:2],alpha=2) ; A.index_fill(1,L,9.) ;
        A.index_copy(0,L,B[:2]) ; A.masked_fill(M,0.) ; A.masked_fill(M,float('-inf')) ;
        I.masked_fill(M,3) ; A.masked_select(M) ; A.take(L) ; A.where(M,B) ; A.where(M,0.) ;
        A.nonzero() ; M.nonzero() ; M.nonzero(as_tuple=True) ; A.argwhere() ; A.take_along_dim(ID1,1) ;
        A.index_put((L,L),W[:2]) ; A.index_put((L,),V) ; A.masked_scatter(M,B) ;
        A.scatter_reduce(0,IDX,B,'amax') ; A.scatter_reduce(1,ID1,B,'sum') ;
        A.scatter_reduce(1,ID1,B,'mean') ; A.scatter_reduce(1,ID1,B,'prod') ;
        A.scatter_reduce(0,IDX,B,'amin',include_self=False) ;
        A.scatter_reduce(1,ID1,B,'mean',include_self=False) ; I.unique() ;
        I.unique(return_counts=True) ; I.unique(return_inverse=True,return_counts=True) ;
        I.unique(dim=0) ; I.unique(dim=1,return_inverse=True,return_counts=True) ;
        J.flatten().bincount() ; J.flatten().bincount(minlength=12) ;
        J.flatten().bincount(D.flatten()) ; A.histc(5,-2,2) ; A.histc(4)
    """,
    "products": """
        A.matmul(Sq) ; A.mm(Sq) ; T3.bmm(T3.mT) ; A.mv(V) ; V.dot(W) ; V.outer(W) ; V.ger(W) ;
        S0.addmm(A,Sq) ; A.addmm(A,Sq,beta=.5,alpha=2) ; T3.matmul(Sq) ; V.matmul(Sq) ; Sq.matmul(V) ;
        V@W ; V.inner(W) ; A.inner(B) ; V[:3].addmv(A,V) ; T3.baddbmm(T3@T3.mT@T3,Sq.expand(2,4,4)) ;
        Sq.addr(V,W) ; A.kron(Sq) ; A[:,:3].cross(B[:,:3]) ; A[:,:3].cross(B[:,:3],dim=1) ;
        Sq.matrix_power(3) ; Sq.matrix_power(0) ; V.vdot(W)
    """,
    "elementwise": """
        A.abs() ; A.neg() ; A.sign() ; A.square() ; P.sqrt() ; P.rsqrt() ; A.reciprocal() ; A.floor() ;
        A.ceil() ; A.trunc() ; A.round() ; A.frac() ; A.exp() ; A.exp2() ; A.expm1() ; P.log() ;
        P.log2() ; P.log10() ; P.log1p() ; A.sin() ; A.cos() ; A.tan() ; U.asin() ; U.acos() ;
        A.atan() ; A.sinh() ; A.cosh() ; A.tanh() ; A.asinh() ; (P+1).acosh() ; U.atanh() ; A.erf() ;
        A.erfc() ; A.sigmoid() ; A.relu() ; A.isnan() ; N.isnan() ; N.isinf() ; N.isfinite() ;
        A.signbit() ; A.logical_not() ; I.bitwise_not() ; A.maximum(B) ; A.minimum(B) ;
        A.remainder(B) ; A.fmod(B) ; I.remainder(J) ; I.fmod(J) ; A.floor_divide(B) ;
        I.floor_divide(J) ; A.true_divide(2) ; A.multiply(2) ; A.mul(B) ; A.pow(2) ; P.pow(B) ;
        P.pow(.5) ; A.pow(3) ; P.pow(-1) ; I.pow(2) ; A.atan2(B) ; A.hypot(B) ; A.logaddexp(B) ;
        A.copysign(B) ; A.eq(B) ; A.ne(0) ; A.lt(B) ; A.le(0) ; A.gt(0.) ; A.ge(B) ; A.logical_and(B) ;
        M.logical_or(~M) ; M.logical_xor(M) ; I.bitwise_and(J) ; A.add(B,alpha=2) ; A.add(1) ;
        A.sub(B,alpha=.5) ; A.sub(1) ; A.div(B) ; A.div(B,rounding_mode='floor') ;
        A.div(B,rounding_mode='trunc') ; I.div(J,rounding_mode='trunc') ;
        I.div(J,rounding_mode='floor') ; I.div(J) ; A.round(decimals=2) ; A.clamp(-.5,.5) ;
        A.clamp(min=0) ; A.clamp(max=B) ; A.clip(0,1) ; A.clamp_min(0) ; A.clamp_max(.3) ;
        A.lerp(B,.3) ; A.lerp(B,.7) ; A.lerp(B,P/4) ; A.addcmul(B,B,value=.5) ;
        A.addcdiv(B,P,value=.5) ; N.nan_to_num() ; N.nan_to_num(1.,2.,-2.) ;
        (P/4).clamp(max=.9).logit() ; A.logit(eps=1e-2) ; P.xlogy(P) ; A.sinc() ; A.deg2rad() ;
        A.rad2deg() ; A.heaviside(B) ; A.isclose(A+1e-9) ; A.allclose(B) ; A.allclose(A) ; A.equal(A) ;
        A.equal(B) ; I.abs() ; I.neg() ; I.sign() ; I.exp() ; I.sqrt() ; M.exp() ; I.sigmoid() ;
        C.abs() ; C*C ; C+A ; C.real ; C.imag ; C.conj() ; C/2 ; C.exp() ; A.conj() ; I.clamp(0,3) ;
        I.square() ; I.relu() ; C.sum() ; C.mean() ; C@C.T
    """,
    "indexing": """
        A[0] ; A[-1] ; A[1:] ; A[:,1] ; A[...,0] ; A[None] ; A[:,None] ; A[0,1] ; A[::2] ; A[:,1::2] ;
        A[L] ; A[:,L] ; A[L,L] ; A[M] ; A[M[:,0]] ; A[L,None] ; A[[0,2]] ; A[[0,2],[1,1]] ; T3[0,:,L] ;
        T3[:,L,L] ; T3[L%2,:,L] ; T3[...,L] ; A[1:1] ; A[L[0]] ; A[True] ; A[:,M[0]] ; T3[:,0,M[0]]
    """,
    "conversion": """
        A.new_zeros(2,3) ; A.new_ones((2,)) ; A.new_full((2,),3.) ; A.new_tensor([1,2]) ;
        I.new_zeros(2) ; A.type_as(D) ; A.to(D) ; A.to(F.float64) ; A.size() ; A.size(0) ; A.size(-1) ;
        A.dim() ; A.numel() ; A.nelement() ; A.element_size() ; A.stride() ; A.T.stride() ;
        A.T.is_contiguous() ; A.tolist() ; S0.item() ; A.ndimension() ; A.is_floating_point() ;
        I.is_floating_point() ; C.is_complex() ; A.nbytes ; A.itemsize ; A.shape ; len(A) ; A.ndim
    """,
    "joining and functions": """
        F.cat([A,B]) ; F.cat([A,B],1) ; F.cat([A,B],dim=1) ; F.cat((A,D)) ; F.stack([A,B]) ;
        F.stack([A,B],1) ; F.hstack([A,B]) ; F.hstack([V,W]) ; F.vstack([A,B]) ; F.vstack([V,W]) ;
        F.dstack([A,B]) ; F.column_stack([V,W]) ; F.atleast_2d(V) ; F.atleast_3d(A) ;
        F.atleast_1d(S0) ; F.split(A,2,1) ; F.chunk(A,2,1) ; F.unbind(A) ; F.transpose(A,0,1) ;
        F.swapaxes(A,0,1) ; F.flatten(T3,1) ; F.ravel(A) ; F.unsqueeze(A,0) ; F.t(A) ;
        F.movedim(T3,0,2) ; F.narrow(A,1,0,2) ; F.select(A,0,1) ; F.diag(V) ; F.diagonal(A,1) ;
        F.diag_embed(V) ; F.trace(Sq) ; F.repeat_interleave(A,2) ; F.repeat_interleave(A,2,1) ;
        F.gather(A,1,ID1) ; F.scatter(A,1,ID1,B) ; F.scatter_add(A,1,ID1,B) ; F.index_select(A,0,L) ;
        F.masked_select(A,M) ; F.masked_fill(A,M,0.) ; F.topk(A,2) ; F.topk(A,2,largest=False) ;
        F.kthvalue(A,2) ; F.median(A) ; F.median(A,1) ; F.mode(I,1) ; F.cummax(A,1) ; F.mm(A,Sq) ;
        F.bmm(T3,T3.mT) ; F.mv(A,V) ; F.dot(V,W) ; F.outer(V,W) ; F.ger(V,W) ; F.addmm(S0,A,Sq) ;
        F.inner(V,W) ; F.kron(A,Sq) ; F.cross(A[:,:3],B[:,:3]) ; F.matrix_power(Sq,3) ;
        F.einsum('ij,jk->ik',A,Sq) ; F.einsum('ij,kj',A,B) ; F.einsum('ii',Sq) ; F.einsum('ii->i',Sq) ;
        F.einsum('bij,bkj->bik',T3,T3) ; F.einsum('...ij,...kj->...ik',T3,T3) ;
        F.einsum('...ij,jk',T3,Sq) ; F.einsum('i,j',V,W) ; F.einsum('i,i',V,W) ; F.einsum('ij->ji',A) ;
        F.einsum('ij->',A) ; F.einsum('ij->j',A) ; F.einsum('ij,ij->ij',A,B) ;
        F.einsum('bij,jk,k->bi',T3,Sq,V) ; F.einsum('bij,bij->b',T3,T3) ; F.einsum('ij,j->i',A,V) ;
        F.einsum('iij->ij',T3.new_ones(3,3,2)) ; F.einsum('...,...',A,B) ; F.einsum('i...->...',A) ;
        F.einsum('ij,k->ijk',A,V) ; F.einsum('ab,cd,ef->acebdf',A,A,A[:1])
    """,
    "spread": """
        N.nansum() ; N.nansum(1) ; N.nanmean(0) ; A.quantile(.3) ; A.quantile(V.sigmoid()) ;
        A.quantile(V.sigmoid(),1) ; A.quantile(.5,0,True) ; A.quantile(.4,1,interpolation='lower') ;
        A.quantile(.4,1,interpolation='higher') ; A.quantile(.4,1,interpolation='nearest') ;
        A.quantile(.4,1,interpolation='midpoint') ; N.quantile(.5,1) ; A.dist(B) ; A.dist(B,1) ;
        F.cdist(A,B) ; F.cdist(T3,T3+1,1.) ; A.cov() ; V.cov() ; A.cov(correction=0) ; A.corrcoef() ;
        N.fmax(A[:2,:3]) ; N.fmin(A[:2,:3]) ; A.float_power(2) ; N.isposinf() ; N.isneginf() ; A.msort() ;
        A.diff() ; A.diff(2,0) ; F.trapezoid(A) ; F.trapezoid(A,V) ; F.trapezoid(A,dx=.5,dim=0) ;
        F.block_diag(A,Sq,V) ; F.cartesian_prod(V,W[:2])
    """,
    "more functions": """
        F.clamp(A,0,1) ; F.clamp(A,min=0.) ; F.rsqrt(P) ; F.absolute(A) ; F.sub(A,B) ;
        F.sub(A,B,alpha=2) ; F.mul(A,B) ; F.div(A,B) ; F.div(I,J,rounding_mode='floor') ;
        F.true_divide(A,B) ; F.neg(A) ; F.eq(A,B) ; F.ne(A,B) ; F.lt(A,B) ; F.le(A,B) ; F.gt(A,B) ;
        F.ge(A,B) ; F.isclose(A,B) ; F.allclose(A,A) ; F.norm(A) ; F.norm(A,dim=1) ; F.cumsum(A,0) ;
        F.cumsum(A,dim=1) ; F.cumprod(A,1) ; F.var_mean(A) ; F.std_mean(A,1) ;
        F.meshgrid(V,W,indexing='ij') ; F.meshgrid(V,W,indexing='xy') ; F.numel(A) ; F.is_tensor(A) ;
        F.bincount(J.flatten()) ; F.histc(A,5) ; F.unique(I) ; F.unique(I,return_inverse=True) ;
        F.unique_consecutive(I.flatten()) ;
        F.unique_consecutive(I.flatten().sort()[0],return_inverse=True,return_counts=True) ;
        F.searchsorted(V.sort()[0],A) ; F.searchsorted(V.sort()[0],A,right=True) ;
        F.searchsorted(A.sort(1)[0],B) ; F.bucketize(A,V.sort()[0]) ; F.tril(A) ; F.triu(A) ;
        F.tril_indices(3,4) ; F.triu_indices(3,4,1) ; F.logspace(0,2,5) ; F.broadcast_tensors(A,V) ;
        F.nan_to_num(N) ; F.lerp(A,B,.5) ; F.addcmul(A,A,B) ; F.addcdiv(A,A,P) ; F.deg2rad(A) ;
        F.heaviside(A,B) ; F.square(A) ; F.reciprocal(A) ; F.logical_and(M,M) ; F.floor_divide(I,J) ;
        F.softmax(A,1) ; F.softmax(A,dim=0) ; F.log_softmax(A,dim=1) ; F.logsumexp(A,1) ;
        F.sigmoid(A) ; F.relu(A) ; F.xlogy(P,P) ; F.isin(I,J) ; F.combinations(V) ; F.argwhere(A) ;
        F.aminmax(A) ; F.amax(A,1) ; F.take_along_dim(A,ID1,1) ; F.fliplr(A) ; F.where(M,A,B) ;
        F.where(M,A,0.) ; F.sum(A) ; F.mean(A) ; F.max(A) ; F.min(A) ; F.argmax(A) ;
        F.argmax(A,dim=1) ; F.sum(A,dim=1) ; F.sum(A,dim=1,keepdim=True) ; F.mean(A,dim=0) ;
        F.amin(A,(0,1)) ; F.prod(A) ; F.any(M) ; F.all(M) ; F.any(M,dim=1) ; F.abs(A) ; F.exp(A) ;
        F.pow(P,2.) ; F.pow(2.,A) ; F.maximum(A,B) ; F.matmul(A,Sq) ; F.tensordot(A,Sq,1) ;
        F.arange(5) ; F.arange(1,5) ; F.arange(0,1,.25) ; F.arange(5.) ; F.linspace(0,1,5) ;
        F.linspace(0,1,steps=5) ; F.zeros(2,3) ; F.zeros((2,3)) ; F.ones(2) ; F.full((2,),3) ;
        F.full((2,),3.) ; F.eye(3) ; F.eye(2,3) ; F.zeros_like(A) ; F.ones_like(I) ; F.full_like(A,2) ;
        F.tensor([1,2]) ; F.tensor([1.,2]) ; F.tensor(True) ; F.tensor([[1,2],[3,4]]).T ;
        F.as_tensor([1,2]) ; F.tensor(3.5) ; F.vdot(V,W) ; F.tensor_split(A,3,1) ; F.copysign(A,B) ;
        F.logaddexp(A,B) ; F.broadcast_to(V,(3,4)) ; F.roll(A,1) ; F.flip(A,(0,)) ; F.tile(A,(2,1)) ;
        F.isnan(N) ; F.erf(A) ; F.logit(P/4) ; F.sinc(A) ; F.count_nonzero(A) ; F.diff(A) ;
        F.result_type(A,D) ; F.hypot(A,B) ; F.frac(A) ; F.fmod(A,B) ; F.remainder(A,B) ;
        F.std_mean(A) ; F.masked_scatter(A,M,B) ; F.scatter_reduce(A,0,IDX,B,'sum') ;
        F.bitwise_and(I,J) ; F.clone(A) ; F.detach(A) ; F.cosh(A) ; F.atleast_2d([V,W])
    """,
    "writing": """
        A.add_(B) ; A.sub_(B) ; A.mul_(B) ; A.div_(B) ; A.add_(B,alpha=2) ; A.addcmul_(B,B,value=2) ;
        A.addcdiv_(B,P) ; A.lerp_(B,.3) ; A.clamp_(0,1) ; A.zero_() ; A.fill_(3) ; A.copy_(B) ;
        A.exp_() ; P.sqrt_() ; A.relu_() ; A.neg_() ; A.masked_fill_(M,1.) ; A.scatter_(1,ID1,B) ;
        A.scatter_add_(1,ID1,B) ; A.index_add_(1,L,B[:,:2]) ; A.index_fill_(0,L,2.) ;
        A.index_copy_(1,L,B[:,:2]) ; A.tanh_() ; A.sigmoid_() ; A.pow_(2) ; A.floor_() ; A.abs_() ;
        I.add_(1) ; I.mul_(2) ; I.remainder_(3) ; A.squeeze_() ; A.unsqueeze_(0) ; A.t_() ;
        A.transpose_(0,1) ; A.clamp_min_(0) ; A.fill_diagonal_(0) ; A.eq_(B) ; A.logical_not_() ;
        A.cumsum_(1) ; A.tril_() ; A.nan_to_num_() ; A.fmod_(B) ; I.bitwise_and_(J) ; A.round_() ;
        A.hypot_(B) ; A.sign_() ; A.reciprocal_() ; A.erf_() ; A.index_put_((L,L),W[:2]) ;
        A.masked_scatter_(M,B) ; A.atan2_(B) ; A.copysign_(B) ; A.xlogy_(P) ; A.logical_and_(B) ;
        I.floor_divide_(J) ; A.true_divide_(B) ; A.requires_grad_()
    """,
}
CASES = [(group, p.strip()) for group, text in PROGRAMS.items() for p in text.split(";")]
